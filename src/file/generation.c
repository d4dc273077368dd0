/* SPDX-License-Identifier: Apache-2.0 */
/* What a GGUF says about generating, under the keys of Hugging Face's generation_config.json. */
#include "file/source_impl.h"

#include <math.h>

static int set_stops(json_t *out, const struct gguf *g)
{
    static const char *const stops[] = { "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id" };
    json_t *list = json_array();
    int rc = list ? 0 : -1;
    int64_t seen[3];
    for (size_t i = 0; i < 3 && rc == 0; i++) {
        seen[i] = gguf_whole(g, stops[i], -1);
        bool again = seen[i] < 0;
        for (size_t k = 0; k < i; k++)
            again = again || seen[k] == seen[i];
        if (!again)
            rc = json_array_append_new(list, json_integer(seen[i]));
    }
    if (rc == 0 && json_array_size(list))
        rc = json_object_set(out, "eos_token_id", list);
    json_decref(list);
    return rc;
}

int gguf_generation_new(json_t **out, const struct gguf *g, struct error *err)
{
    static const struct {
        const char *key, *config;
        bool whole;
    } sampling[] = {
        { "general.sampling.temp", "temperature", false },
        { "general.sampling.top_k", "top_k", true },
        { "general.sampling.top_p", "top_p", false },
        { "general.sampling.min_p", "min_p", false },
        { "general.sampling.penalty_repeat", "repetition_penalty", false },
        { "tokenizer.ggml.bos_token_id", "bos_token_id", true },
        { "tokenizer.ggml.padding_token_id", "pad_token_id", true },
    };
    json_t *o = json_object();
    int rc = o ? set_stops(o, g) : -1;
    for (size_t i = 0; i < sizeof sampling / sizeof sampling[0] && rc == 0; i++) {
        double x = gguf_real(g, sampling[i].key, NAN);
        if (isfinite(x) && fabs(x) < 0x1p53)
            rc = json_object_set_new(
                o, sampling[i].config, sampling[i].whole ? json_integer((json_int_t)x) : json_real(x));
    }
    *out = NULL;
    if (rc == 0 && json_object_size(o)) {
        *out = json_incref(o);
        if (json_object_get(o, "temperature"))
            rc = json_object_set_new(o, "do_sample", json_boolean(json_real_of(o, "temperature", 0) > 0));
    }
    if (rc) {
        json_decref(*out);
        *out = NULL;
        rc = error_memory(err, sizeof(json_t), "a generation config");
    }
    json_decref(o);
    return rc;
}
