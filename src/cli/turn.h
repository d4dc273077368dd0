/* SPDX-License-Identifier: Apache-2.0 */
/* One turn of a chat: the model's replies, and what the tools it calls say, until it has answered. */
#ifndef WAZN_CLI_TURN_H
#define WAZN_CLI_TURN_H

#include "cli/conversation.h"
#include "cli/line.h"
#include "cli/load.h"
#include "cli/reply.h"
#include "cli/tools.h"

#define TURN_REPLIES_MAX 32 /* a model that calls on and on is stopped */

struct turn {
    struct loaded *loaded;
    struct conversation *talk;
    const struct tools *tools;  /* NULL: none are offered */
    struct line_reader *lines;  /* where the person agrees to calls */
    struct reply last;          /* numbers of the last reply; the caller releases it */
    int replies;                /* of the whole chat: each has a seed of its own */
};

/* Answer what the conversation ends with, and add all that was said. After Ctrl-C what was said stays where there is
 * any; else ERROR_CANCELLED. After an error the caller cuts the conversation back. */
int turn_take(struct turn *t, struct error *err);

#endif
