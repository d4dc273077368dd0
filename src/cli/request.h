/* SPDX-License-Identifier: Apache-2.0 */
/* What the options ask of a model's chat format: how much to think, the date, the shape of the answer. */
#ifndef WAZN_CLI_REQUEST_H
#define WAZN_CLI_REQUEST_H

#include "cli/load.h"

/* Fill l->request and l->budget; needs the format (may be NULL) and the schema. What the format cannot be told is said
 * on standard error. ERROR_USAGE for options that need a format where there is none. */
int request_prepare(struct loaded *l, struct error *err);

/* Append the tokens of a conversation that the model is to answer. */
int request_render(const struct loaded *l, const struct chat_message *messages, size_t n, struct tokens *out,
    struct error *err);

#endif
