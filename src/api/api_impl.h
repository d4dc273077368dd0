/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind the opaque types of include/wazn.h. */
#ifndef WAZN_API_API_IMPL_H
#define WAZN_API_API_IMPL_H

#include "base/error.h"
#include "base/log.h"
#include "file/source.h"
#include "infer/sampler.h"
#include "model/adapter.h"
#include "model/model.h"
#include "text/chat/chat.h"
#include "text/tokenizer.h"

#include <wazn.h>

struct wazn_model {
    struct source *source;
    struct model *model;
    struct adapter *adapter; /* attached to the model; NULL: none */
    struct tokenizer *tokenizer;
    const struct chat_format *chat; /* NULL: unknown, chat_error says why */
    struct error chat_error;
    struct sampling sampling; /* the defaults of the model's authors */
    struct wazn_model_options options; /* for the log; its strings are not kept */
};

/* Copy an error out (to may be NULL) and return its code. */
int api_error(struct wazn_error *to, const struct error *from);

#endif
