/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, in the order of the help. One file each in cli/command/. */
#ifndef WAZN_CLI_COMMAND_H
#define WAZN_CLI_COMMAND_H

#include "cli/option.h"

#define COMMANDS(X) X(run) X(chat) X(inspect) X(tokenize) X(tokenizer) X(logits) X(bench) X(quantize) X(convert) \
    X(merge) X(train) X(tune) X(selftest)

#define X(name) extern const struct command command_##name;
COMMANDS(X)
#undef X

#endif
