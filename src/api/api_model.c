/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_impl.h"

#include "base/cpu.h"
#include "kernel/kernel.h"
#include "model/arch.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(WAZN_ERROR_CANCELLED == (int)ERROR_CANCELLED && WAZN_ERROR_LIMIT == (int)ERROR_LIMIT
        && WAZN_ERROR_FORMAT == (int)ERROR_FORMAT && sizeof(struct wazn_error) == sizeof(struct error),
    "the public error codes are the library's");

int api_error(struct wazn_error *to, const struct error *from)
{
    if (to && from->code) {
        to->code = from->code;
        memcpy(to->text, from->text, sizeof to->text);
    }
    return from->code;
}

static void pass_on(void *context, int level, const char *text)
{
    const struct wazn_model *m = context;
    (void)level;
    if (m->options.log)
        m->options.log(m->options.log_context, text);
}

static int find_chat(struct wazn_model *m, const char *name, struct error *err)
{
    if (!name) {
        /* A model without a chat format still continues text: the reason is kept for those who chat. */
        int rc = chat_detect(&m->chat, source_chat_template(m->source), m->tokenizer, &m->chat_error);
        return rc == ERROR_MEMORY ? error_set(err, rc, "%s", m->chat_error.text) : 0;
    }
    m->chat = chat_format_find(name);
    return m->chat ? 0 : error_set(err, ERROR_USAGE, "there is no chat format \"%s\"", name);
}

static int open_parts(struct wazn_model *m, const char *path, const struct wazn_model_options *o, struct error *err)
{
    struct log log = { pass_on, m };
    int rc = source_open(&m->source, path, o->hf_cache, &log, err);
    if (rc == 0)
        rc = o->tokenizer ? tokenizer_open(&m->tokenizer, o->tokenizer, NULL, err)
                          : tokenizer_open_source(&m->tokenizer, m->source, err);
    if (rc == 0)
        rc = find_chat(m, o->chat_format, err);
    if (rc == 0)
        rc = sampling_init(&m->sampling, source_generation(m->source), m->chat && m->chat->samples_whole, err);
    if (rc == 0)
        rc = model_open(&m->model, m->source, &(struct model_options) { .log = &log }, err);
    if (rc == 0 && o->adapter)
        rc = adapter_open(&m->adapter, m->model, o->adapter, err);
    if (rc == 0 && o->adapter)
        rc = adapter_attach(m->adapter, m->model, o->adapter_scale == 0 ? 1 : (double)o->adapter_scale, cpu_cores(),
            err);
    return rc;
}

int wazn_model_open(struct wazn_model **out, const char *path, const struct wazn_model_options *options,
    struct wazn_error *err)
{
    static const struct wazn_model_options none;
    struct error e = { 0 };
    *out = NULL;
    kernels_init(cpu_features());
    struct wazn_model *m = calloc(1, sizeof *m);
    if (!m) {
        error_memory(&e, sizeof *m, "a model");
        return api_error(err, &e);
    }
    m->options = options ? *options : none;
    if (open_parts(m, path, &m->options, &e) != 0) {
        wazn_model_close(m);
        return api_error(err, &e);
    }
    m->options.tokenizer = m->options.chat_format = m->options.hf_cache = m->options.adapter = NULL;
    *out = m;
    return 0;
}

void wazn_model_close(struct wazn_model *m)
{
    if (!m)
        return;
    adapter_close(m->adapter);
    model_close(m->model);
    tokenizer_close(m->tokenizer);
    source_close(m->source);
    free(m);
}

const char *wazn_model_family(const struct wazn_model *m)
{
    return model_spec(m->model)->arch->name;
}

int64_t wazn_model_parameters(const struct wazn_model *m)
{
    struct model_size size;
    model_measure(m->model, &size);
    return (int64_t)size.parameters;
}

int wazn_model_context(const struct wazn_model *m)
{
    return model_spec(m->model)->context;
}

int32_t wazn_model_vocabulary(const struct wazn_model *m)
{
    return (int32_t)model_spec(m->model)->vocabulary;
}

int wazn_tokenize(const struct wazn_model *m, const char *text, size_t length, int32_t *ids, size_t capacity,
    size_t *count, struct wazn_error *err)
{
    struct error e = { 0 };
    struct tokens tokens = { 0 };
    *count = 0;
    if (tokenizer_encode(m->tokenizer, text, length, 0, &tokens, &e) == 0) {
        *count = tokens.used;
        size_t n = tokens.used < capacity ? tokens.used : capacity;
        if (n)
            memcpy(ids, tokens.ids, n * sizeof *ids);
    }
    tokens_release(&tokens);
    return api_error(err, &e);
}

const char *wazn_version(void)
{
    return WAZN_VERSION;
}
