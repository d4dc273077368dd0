/* SPDX-License-Identifier: Apache-2.0 */
/* Private to src/text. */
#ifndef WAZN_TEXT_SAVE_SPM_H
#define WAZN_TEXT_SAVE_SPM_H

#include "text/tokenizer_impl.h"

/* Append a whole tokenizer.model. */
int save_spm(struct buffer *out, const struct tokenizer *t, struct error *err);

#endif
