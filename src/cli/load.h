/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands open, in the order in which they need it, by the options all of them share. */
#ifndef WAZN_CLI_LOAD_H
#define WAZN_CLI_LOAD_H

#include "cli/option.h"
#include "cli/progress.h"
#include "file/source.h"
#include "infer/guide.h"
#include "infer/plan.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "model/adapter.h"
#include "model/model.h"
#include "text/chat/chat.h"
#include "text/tokenizer.h"

struct loaded {
    const struct arguments *args;
    struct source *source;
    struct tokenizer *tokenizer;
    const struct chat_format *format; /* NULL: the model has none, or --raw */
    struct chat_request request;      /* of every turn, but for its messages (request.h) */
    int budget;                       /* tokens of thoughts; negative: no limit */
    char date[16];
    struct model *model;
    struct loaded_adapter {
        struct adapter *adapter;
        char path[4096];
        double scale;
    } *adapters; /* (n_adapters) of --adapter, attached to the model */
    int n_adapters;
    bool samples; /* loaded_sampling was called */
    struct sampling sampling;
    struct logit_bias *biases;
    struct tokens stops; /* ids that end an answer */
    int marks;           /* places the session shall remember; set by the command before loaded_plan */
    struct session_options session_options;
    struct plan plan;
    struct session *session;
    struct sampler *sampler;
    json_t *schema; /* of --json-schema; NULL: answers are free */
    struct grammar *grammar;
    struct constraint *constraint;
    struct chat_grammar *headers; /* NULL: the format has none, or --free-headers */
    struct guide *guide;
    struct progress progress;   /* of the long step now going on */
    struct session_watch watch; /* shows progress, looks for Ctrl-C */
    double begun, seconds;      /* when loading began, how long it took */
};

/* -m is required. Remarks of the floors below go to standard error unless --quiet. */
int loaded_source(struct loaded *l, const struct arguments *args, struct error *err);
/* --tokenizer, or the model's own. */
int loaded_tokenizer(struct loaded *l, struct error *err);
/* --chat-format, or the one of the model's template. A model that has neither a template nor the control tokens of a
 * format leaves l->format NULL; a template that is not known is an error naming --chat-format. */
int loaded_format(struct loaded *l, struct error *err);
/* With the adapters that --adapter names. */
int loaded_model(struct loaded *l, struct error *err);
/* --json-schema, where it is given; before request_prepare. */
int loaded_schema(struct loaded *l, struct error *err);
/* The settings of sampling from the model and the options, and the ids that end an answer. */
int loaded_sampling(struct loaded *l, struct error *err);

/* Where a setting comes from, for people: "default", "generation_config.json", "general.sampling", "command line". */
const char *loaded_setting_source(const struct loaded *l, enum sampling_source source);

/* Make the plan for `wanted` positions (0: PLAN_CONTEXT; --ctx goes before both; less where memory is short), show it,
 * refuse what does not fit. `reserved`: bytes the command will take besides. */
int loaded_plan(struct loaded *l, int wanted, int logits, uint64_t reserved, struct error *err);
/* Read the weights into memory, open the session (and the sampler where sampling was loaded). */
int loaded_session(struct loaded *l, struct error *err);

void loaded_close(struct loaded *l);

#endif
