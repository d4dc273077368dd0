/* SPDX-License-Identifier: Apache-2.0 */
/* Private to src/cli/tool*.c. */
#ifndef WAZN_CLI_TOOLS_IMPL_H
#define WAZN_CLI_TOOLS_IMPL_H

#include "cli/tools.h"

/* One argument of a command, as the file has it. */
struct tool_word {
    const char *text; /* itself, or the name of the call's argument whose value it is */
    bool value;       /* the latter */
    bool any_dash;    /* a value may begin with '-' */
    int group;        /* words of one group are left out together where a value is absent; each is in one */
};

struct tool {
    const char *name;
    const json_t *parameters; /* NULL: not told */
    struct tool_word *words;
    size_t n_words; /* 0: no command */
    double seconds;
    bool takes_input; /* the arguments go to standard input */
};

#endif
