/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF metadata under the keys of Hugging Face's config.json, so that one reader per architecture serves both.
 * What GGUF leaves to the reading program (which layers slide, Gemma's scale) is written out as that program has it. */
#include "base/utf8.h"
#include "file/config_keys.h"
#include "file/source_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The first failure stays: later steps do nothing. */
struct builder {
    const struct gguf *g;
    const struct table *tensors;
    const struct config_family *family;
    char prefix[64]; /* "qwen3." */
    char key[192];   /* the last one made by full_key */
    json_t *out;
    int rc;
    struct error *err;
};

static const char *full_key(struct builder *b, const char *key)
{
    snprintf(b->key, sizeof b->key, "%s%s", b->prefix, key);
    return b->key;
}

static const struct gguf_value *find(struct builder *b, const char *key)
{
    return gguf_find(b->g, full_key(b, key));
}

static void fail_type(struct builder *b, const struct gguf_value *v, const char *expected)
{
    if (b->rc)
        return;
    b->rc = error_set(b->err, ERROR_FORMAT, "key \"%.*s\" is %s %s, expected %s", (int)v->key_length, v->key,
        v->type == GGUF_ARRAY ? "an array of type" : "one of type", gguf_type_name(v->element), expected);
}

static void set(struct builder *b, const char *config, json_t *value)
{
    if (b->rc)
        json_decref(value);
    else if (json_object_set_new(b->out, config, value) != 0)
        b->rc = error_memory(b->err, sizeof(json_t), "a config");
}

static bool whole_of(struct builder *b, const char *key, int64_t *out)
{
    const struct gguf_value *v = find(b, key);
    if (!v)
        return false;
    if (v->type != GGUF_ARRAY && gguf_whole_at(v, 0, out))
        return true;
    fail_type(b, v, "an integer");
    return false;
}

static bool real_of(struct builder *b, const char *key, double *out)
{
    const struct gguf_value *v = find(b, key);
    if (!v)
        return false;
    if (v->type != GGUF_ARRAY && gguf_real_at(v, 0, out) && isfinite(*out))
        return true;
    fail_type(b, v, "a finite number");
    return false;
}

/* One number, or an array with one per layer: a number again where all agree. */
static void set_per_layer(struct builder *b, const char *key, const char *config)
{
    int64_t first = 0, x = 0;
    const struct gguf_value *v = find(b, key);
    if (!v)
        return;
    if (!gguf_whole_at(v, 0, &first) || v->count > LAYERS_MAX) {
        fail_type(b, v, "an integer, or one per layer");
        return;
    }
    bool same = true;
    for (uint64_t i = 1; i < v->count; i++) {
        if (!gguf_whole_at(v, i, &x))
            fail_type(b, v, "an integer, or one per layer");
        same = same && x == first;
    }
    json_t *value = same ? json_integer(first) : json_array();
    for (uint64_t i = 0; !same && i < v->count && b->rc == 0; i++) {
        gguf_whole_at(v, i, &x);
        if (json_array_append_new(value, json_integer(x)) != 0)
            b->rc = error_memory(b->err, sizeof(json_t), "a config");
    }
    set(b, config, value);
}

static void set_keys(struct builder *b)
{
    for (size_t i = 0; i < config_key_count; i++) {
        int64_t whole = 0;
        double real = 0;
        if (!(config_keys[i].families & b->family->bit))
            continue;
        if (config_keys[i].number == PER_LAYER)
            set_per_layer(b, config_keys[i].key, config_keys[i].config);
        else if (config_keys[i].number == WHOLE && whole_of(b, config_keys[i].key, &whole))
            set(b, config_keys[i].config, json_integer(whole));
        else if (config_keys[i].number == REAL && real_of(b, config_keys[i].key, &real))
            set(b, config_keys[i].config, json_real(real));
    }
}

static void check_value_length(struct builder *b)
{
    int64_t key = 0, value = 0;
    if (whole_of(b, "attention.key_length", &key) && whole_of(b, "attention.value_length", &value) && key != value &&
        b->rc == 0)
        b->rc = error_set(b->err, ERROR_UNSUPPORTED,
            "attention.key_length is %" PRId64 ", attention.value_length %" PRId64
            ": heads of two sizes are not handled",
            key, value);
}

static void set_rope_scaling(struct builder *b)
{
    size_t n = 0;
    double factor = 1, fast = 32, slow = 1;
    int64_t context = 0;
    const char *type = gguf_text(b->g, full_key(b, "rope.scaling.type"), &n);
    bool yarn = type && n == 4 && memcmp(type, "yarn", 4) == 0;
    bool scaled = real_of(b, "rope.scaling.factor", &factor) || real_of(b, "rope.scale_linear", &factor);
    if (!type && scaled && factor != 1)
        type = "linear", n = 6;
    if (!type || (n == 4 && memcmp(type, "none", 4) == 0))
        return;
    if (utf8_valid_prefix(type, n) != n) {
        b->rc = error_set(b->err, ERROR_FORMAT, "key \"%srope.scaling.type\" is not valid UTF-8", b->prefix);
        return;
    }
    json_t *scaling = json_pack("{s:s%, s:f}", "rope_type", type, n, "factor", factor);
    int rc = scaling ? 0 : -1;
    if (whole_of(b, "rope.scaling.original_context_length", &context))
        rc |= json_object_set_new(scaling, "original_max_position_embeddings", json_integer(context));
    if (yarn) {
        real_of(b, "rope.scaling.yarn_beta_fast", &fast);
        real_of(b, "rope.scaling.yarn_beta_slow", &slow);
        rc |= json_object_set_new(scaling, "beta_fast", json_real(fast));
        rc |= json_object_set_new(scaling, "beta_slow", json_real(slow));
        if (b->family->bit == GPT_OSS) /* its correction bounds stay real numbers */
            rc |= json_object_set_new(scaling, "truncate", json_false());
    }
    if (rc && b->rc == 0)
        b->rc = error_memory(b->err, sizeof(json_t), "a config");
    set(b, "rope_scaling", scaling);
}

static void set_rope(struct builder *b)
{
    double base = 10000, local = 10000;
    int64_t dims = 0, head = 0;
    real_of(b, "rope.freq_base", &base);
    set(b, "rope_theta", json_real(base));
    if (b->family->bit == GEMMA3) {
        real_of(b, "rope.freq_base_swa", &local);
        set(b, "rope_local_base_freq", json_real(local));
    }
    if (whole_of(b, "rope.dimension_count", &dims) && !whole_of(b, "attention.key_length", &head)) {
        int64_t width = gguf_whole(b->g, full_key(b, "embedding_length"), 0);
        int64_t heads = gguf_whole(b->g, full_key(b, "attention.head_count"), 0);
        head = heads > 0 ? width / heads : 0;
    }
    if (dims > 0 && head > 0 && dims != head)
        set(b, "partial_rotary_factor", json_real((double)dims / (double)head));
    set_rope_scaling(b);
}

/* Which layers see only a window: from the file where it tells, else the family's period. */
static void set_layer_types(struct builder *b)
{
    int64_t layers = 0, period = b->family->period;
    const struct gguf_value *pattern = find(b, "attention.sliding_window_pattern");
    if (!period || !whole_of(b, "block_count", &layers) || !find(b, "attention.sliding_window"))
        return;
    if (layers < 0 || layers > LAYERS_MAX) {
        b->rc = error_set(b->err, ERROR_LIMIT, "it says %" PRId64 " layers, the limit is %d", layers, LAYERS_MAX);
        return;
    }
    bool listed = pattern && pattern->type == GGUF_ARRAY;
    if (listed ? pattern->element != GGUF_BOOL || pattern->count != (uint64_t)layers
               : pattern && (!gguf_whole_at(pattern, 0, &period) || period < 1)) {
        fail_type(b, pattern, "a period, or one bool per layer");
        return;
    }
    json_t *types = json_array();
    int rc = types ? 0 : -1;
    for (int64_t i = 0; i < layers && rc == 0; i++) {
        bool slides = listed ? pattern->data[i] : (i + 1) % period != 0;
        rc = json_array_append_new(types, json_string(slides ? "sliding_attention" : "full_attention"));
    }
    if (rc && b->rc == 0)
        b->rc = error_memory(b->err, sizeof(json_t), "a config");
    set(b, "layer_types", types);
}

/* Gemma divides scores by the root of head_dim, but its 27B models by that of width / heads; GGUF does not say which.
 * ggml tells them by their layers. */
static void set_gemma_scale(struct builder *b)
{
    int64_t layers = 0, head = 0, width = 0, heads = 0;
    double scale = 0;
    if (real_of(b, "attention.scale", &scale) && scale > 0) {
        set(b, "query_pre_attn_scalar", json_real(1 / (scale * scale)));
        return;
    }
    whole_of(b, "block_count", &layers);
    whole_of(b, "attention.key_length", &head);
    if (layers == (b->family->bit == GEMMA2 ? 46 : 62) && whole_of(b, "embedding_length", &width) &&
        whole_of(b, "attention.head_count", &heads) && heads > 0)
        head = width / heads;
    if (head > 0)
        set(b, "query_pre_attn_scalar", json_integer(head));
}

static void set_vocabulary(struct builder *b)
{
    int64_t size = 0;
    const struct file_tensor *t = table_find(b->tensors, "token_embd.weight");
    const struct gguf_value *tokens = gguf_array(b->g, "tokenizer.ggml.tokens", GGUF_STRING);
    if (t && t->dims == 2)
        size = t->shape[0];
    else if (!whole_of(b, "vocab_size", &size) && tokens)
        size = (int64_t)tokens->count;
    if (size > 0)
        set(b, "vocab_size", json_integer(size));
}

static void set_from_tensors(struct builder *b)
{
    if (!b->tensors->count)
        return;
    set(b, "tie_word_embeddings", json_boolean(!table_find(b->tensors, "output.weight")));
    if (b->family->bit & (LLAMA | QWEN | QWEN_MOE | GPT_OSS))
        set(b, "attention_bias", json_boolean(table_find(b->tensors, "blk.0.attn_q.bias") != NULL));
    if (b->family->bit == LLAMA)
        set(b, "mlp_bias", json_boolean(table_find(b->tensors, "blk.0.ffn_up.bias") != NULL));
}

static void set_family(struct builder *b)
{
    const struct config_family *f = b->family;
    int64_t experts = 0;
    bool mixtral = f->bit == LLAMA && whole_of(b, "expert_count", &experts) && experts > 0;
    set(b, "model_type", json_string(mixtral ? "mixtral" : f->model_type));
    set(b, f->activation_key, json_string(f->activation));
    if (f->bit == QWEN_MOE) {
        bool renormalized = strcmp(f->architecture, "qwen3moe") == 0;
        set(b, "norm_topk_prob", json_boolean(renormalized));
        set(b, "decoder_sparse_step", json_integer(1));
        set(b, "mlp_only_layers", json_array());
    }
    if (f->bit == GPT_OSS)
        set(b, "swiglu_limit", json_real(7));
    if (f->bit & GEMMA)
        set_gemma_scale(b);
}

static void build(struct builder *b)
{
    static const char *const ids[][2] = { { "tokenizer.ggml.bos_token_id", "bos_token_id" },
        { "tokenizer.ggml.eos_token_id", "eos_token_id" } };
    set_family(b);
    set_keys(b);
    set_vocabulary(b);
    set_from_tensors(b);
    if (b->family->bit != GPT2) {
        check_value_length(b);
        set_rope(b);
        set_layer_types(b);
    }
    for (size_t i = 0; i < 2; i++) {
        int64_t id = gguf_whole(b->g, ids[i][0], -1);
        if (id >= 0)
            set(b, ids[i][1], json_integer(id));
    }
}

static void set_unknown(struct builder *b, const char *architecture, size_t n)
{
    if (utf8_valid_prefix(architecture, n) == n)
        set(b, "model_type", json_stringn(architecture, n));
    else
        b->rc = error_set(b->err, ERROR_FORMAT, "\"general.architecture\" is not valid UTF-8");
}

int gguf_config_new(json_t **out, const struct gguf *g, const struct table *tensors, struct error *err)
{
    struct builder b = { .g = g, .tensors = tensors, .err = err };
    size_t n = 0;
    const char *architecture = gguf_text(g, "general.architecture", &n);
    *out = NULL;
    if (!architecture && tensors->count)
        return error_set(
            err, ERROR_FORMAT, "it has %zu tensors but no string \"general.architecture\"", tensors->count);
    b.out = json_object();
    if (!b.out)
        return error_memory(err, sizeof(json_t), "a config");
    for (size_t i = 0; architecture && !b.family && i < config_family_count; i++) {
        const char *name = config_families[i].architecture;
        if (strlen(name) == n && memcmp(name, architecture, n) == 0)
            b.family = &config_families[i];
    }
    snprintf(b.prefix, sizeof b.prefix, "%s.", b.family ? b.family->architecture : "");
    if (b.family)
        build(&b);
    else if (architecture) /* whoever needs the model says that this type is not handled */
        set_unknown(&b, architecture, n);
    if (b.rc) {
        json_decref(b.out);
        b.out = NULL;
    }
    *out = b.out;
    return b.rc;
}
