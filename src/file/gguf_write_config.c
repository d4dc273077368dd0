/* SPDX-License-Identifier: Apache-2.0 */
/* A config and a generation config as GGUF metadata: the tables of config_keys.c read backwards. What GGUF has no key
 * for is not written; whoever writes a model reads it back and compares (publish/check.h). */
#include "file/config_keys.h"
#include "file/gguf_write.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct put {
    struct gguf_out *o;
    const json_t *config;
    const struct config_family *family;
    char key[128]; /* the last one made by full */
};

static const char *full(struct put *p, const char *key)
{
    snprintf(p->key, sizeof p->key, "%s.%s", p->family->architecture, key);
    return p->key;
}

static void put_value(struct put *p, const struct config_key *k)
{
    const json_t *v = json_object_get(p->config, k->config);
    bool llama_window = p->family->bit == LLAMA && strcmp(k->config, "sliding_window") == 0;
    if (llama_window) /* there is a key, but no program but this one would look at it */
        return;
    if (k->number == REAL && (json_is_number(v) || json_is_null(v))) /* null: a cap of 0, which is none */
        gguf_put_real(p->o, full(p, k->key), json_number_value(v));
    else if (k->number != REAL && json_is_number(v))
        gguf_put_whole(p->o, full(p, k->key), GGUF_UINT32, json_whole(p->config, k->config, 0));
    if (k->number != PER_LAYER || !json_is_array(v))
        return;
    gguf_put_array(p->o, full(p, k->key), GGUF_INT32, json_array_size(v));
    for (size_t i = 0; i < json_array_size(v); i++)
        gguf_add_number(p->o, GGUF_INT32, json_integer_value(json_array_get(v, i)));
}

static void put_rope(struct put *p)
{
    const json_t *c = p->config, *scaling = json_object_get(c, "rope_scaling");
    const char *type = json_text(scaling, "rope_type", "default");
    long long head = json_whole(c, "head_dim", 0), context = json_whole(scaling, "original_max_position_embeddings", 0);
    gguf_put_whole(p->o, full(p, "attention.value_length"), GGUF_UINT32, head);
    gguf_put_whole(p->o, full(p, "rope.dimension_count"), GGUF_UINT32, head);
    gguf_put_real(p->o, full(p, "rope.freq_base"), json_real_of(c, "rope_theta", 10000));
    if (json_object_get(c, "rope_local_base_freq"))
        gguf_put_real(p->o, full(p, "rope.freq_base_swa"), json_real_of(c, "rope_local_base_freq", 10000));
    bool yarn = strcmp(type, "yarn") == 0;
    if (!yarn && strcmp(type, "linear") != 0) /* llama3's is a tensor of divisors */
        return;
    gguf_put_text(p->o, full(p, "rope.scaling.type"), type, strlen(type));
    gguf_put_real(p->o, full(p, "rope.scaling.factor"), json_real_of(scaling, "factor", 1));
    if (context > 0)
        gguf_put_whole(p->o, full(p, "rope.scaling.original_context_length"), GGUF_UINT32, context);
    if (!yarn)
        return;
    gguf_put_real(p->o, full(p, "rope.scaling.yarn_beta_fast"), json_real_of(scaling, "beta_fast", 32));
    gguf_put_real(p->o, full(p, "rope.scaling.yarn_beta_slow"), json_real_of(scaling, "beta_slow", 1));
}

static bool slides(const json_t *types, size_t layer)
{
    const char *type = json_string_value(json_array_get(types, layer));
    return type && type[0] == 's';
}

/* Only where the layers are not the family's usual ones. */
static void put_layer_types(struct put *p)
{
    const json_t *types = json_object_get(p->config, "layer_types");
    size_t n = json_array_size(types), period = (size_t)p->family->period;
    bool usual = true;
    for (size_t i = 0; i < n && period; i++)
        usual = usual && slides(types, i) == ((i + 1) % period != 0);
    if (usual || !period)
        return;
    gguf_put_array(p->o, full(p, "attention.sliding_window_pattern"), GGUF_BOOL, n);
    for (size_t i = 0; i < n; i++)
        gguf_add_number(p->o, GGUF_BOOL, slides(types, i));
}

/* Gemma's scale follows from the sizes but for models that say otherwise. */
static void put_scale(struct put *p)
{
    double scalar = json_real_of(p->config, "query_pre_attn_scalar", 0);
    if (scalar > 0 && scalar != (double)json_whole(p->config, "head_dim", 0))
        gguf_put_real(p->o, full(p, "attention.scale"), 1 / sqrt(scalar));
}

int gguf_put_config(struct gguf_out *o, const json_t *config, struct error *err)
{
    struct put p = { .o = o, .config = config };
    const char *type = json_text(config, "model_type", "");
    for (size_t i = 0; i < config_family_count; i++)
        if (strcmp(config_families[i].model_type, type) == 0)
            p.family = &config_families[i];
    if (!p.family)
        return error_set(err, ERROR_UNSUPPORTED, "no GGUF architecture is known for model_type \"%s\"", type);
    gguf_put_text(o, "general.architecture", p.family->architecture, strlen(p.family->architecture));
    gguf_put_text(o, "general.type", "model", 5);
    for (size_t i = 0; i < config_key_count; i++)
        if (config_keys[i].families & p.family->bit)
            put_value(&p, &config_keys[i]);
    if (p.family->bit & LLAMA)
        gguf_put_whole(o, full(&p, "vocab_size"), GGUF_UINT32, json_whole(config, "vocab_size", 0));
    if (p.family->bit == GPT2)
        return 0;
    put_rope(&p);
    put_layer_types(&p);
    if (p.family->bit & GEMMA)
        put_scale(&p);
    return 0;
}

void gguf_put_generation(struct gguf_out *o, const json_t *generation)
{
    static const struct {
        const char *key, *config;
    } reals[] = { { "general.sampling.temp", "temperature" }, { "general.sampling.top_p", "top_p" },
        { "general.sampling.min_p", "min_p" }, { "general.sampling.penalty_repeat", "repetition_penalty" } };
    bool greedy = json_is_false(json_object_get(generation, "do_sample"));
    if (greedy)
        gguf_put_real(o, "general.sampling.temp", 0);
    for (size_t i = greedy; i < sizeof reals / sizeof reals[0]; i++)
        if (json_is_number(json_object_get(generation, reals[i].config)))
            gguf_put_real(o, reals[i].key, json_real_of(generation, reals[i].config, 0));
    long long k = json_whole(generation, "top_k", -1);
    if (k >= 0 && k <= INT32_MAX)
        gguf_put_whole(o, "general.sampling.top_k", GGUF_INT32, k);
}
