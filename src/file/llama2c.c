/* SPDX-License-Identifier: Apache-2.0 */
/* A llama2.c checkpoint (its first, headerless version): seven int32, then float32 matrices, each kind stacked over the
 * layers. There is no magic number: the size must be exactly what the header makes it. Query and key rows are
 * interleaved (rotation pairs are neighbours), unlike Hugging Face's; whoever uses them must know. */
#include "base/size.h"
#include "file/source_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEADER_BYTES 28u

struct header {
    int32_t dim, hidden, layers, heads, kv_heads, vocab, context;
};

#define STACKS_MAX 14

struct stack { /* matrices of one kind, one behind the other */
    const char *name; /* Hugging Face's, "%d" the layer; NULL: tables of the rotation, computed anew by every reader */
    bool per_layer;
    int64_t rows, cols; /* rows 0: a vector */
};

struct plan { /* in the file's order */
    struct stack stacks[STACKS_MAX];
    int count;
};

static void plan_add(struct plan *p, const char *name, bool per_layer, int64_t rows, int64_t cols)
{
    p->stacks[p->count++] = (struct stack) { name, per_layer, rows, cols };
}

static void plan_fill(struct plan *p, const struct header *h, int64_t vocab, bool tied)
{
    int64_t dim = h->dim, hidden = h->hidden, head = dim / h->heads, kv = head * h->kv_heads;
    p->count = 0;
    plan_add(p, "model.embed_tokens.weight", false, vocab, dim);
    plan_add(p, "model.layers.%d.input_layernorm.weight", true, 0, dim);
    plan_add(p, "model.layers.%d.self_attn.q_proj.weight", true, dim, dim);
    plan_add(p, "model.layers.%d.self_attn.k_proj.weight", true, kv, dim);
    plan_add(p, "model.layers.%d.self_attn.v_proj.weight", true, kv, dim);
    plan_add(p, "model.layers.%d.self_attn.o_proj.weight", true, dim, dim);
    plan_add(p, "model.layers.%d.post_attention_layernorm.weight", true, 0, dim);
    plan_add(p, "model.layers.%d.mlp.gate_proj.weight", true, hidden, dim);
    plan_add(p, "model.layers.%d.mlp.down_proj.weight", true, dim, hidden);
    plan_add(p, "model.layers.%d.mlp.up_proj.weight", true, hidden, dim);
    plan_add(p, "model.norm.weight", false, 0, dim);
    plan_add(p, NULL, false, h->context, head / 2);
    plan_add(p, NULL, false, h->context, head / 2);
    if (!tied)
        plan_add(p, "lm_head.weight", false, vocab, dim);
}

static int read_header(struct header *h, int64_t *vocab, const void *data, size_t size, struct error *err)
{
    if (size < HEADER_BYTES)
        return error_set(err, ERROR_FORMAT, "it has %zu bytes, a llama2.c header has %u", size, HEADER_BYTES);
    if (memcmp(data, "PK\3\4", 4) == 0)
        return error_set(err, ERROR_UNSUPPORTED,
            "it is a PyTorch zip file, not a llama2.c checkpoint: save it as safetensors first");
    memcpy(h, data, sizeof *h);
    *vocab = h->vocab < 0 ? -(int64_t)h->vocab : h->vocab;
    if (h->dim <= 0 || h->hidden <= 0 || h->layers <= 0 || h->heads <= 0 || h->kv_heads <= 0 || *vocab == 0 ||
        h->context <= 0)
        return error_set(err, ERROR_FORMAT,
            "it is no llama2.c checkpoint: dim %d, hidden %d, layers %d, heads %d, kv heads %d, vocabulary %d, "
            "context %d",
            h->dim, h->hidden, h->layers, h->heads, h->kv_heads, h->vocab, h->context);
    if (h->dim % h->heads || h->heads % h->kv_heads || h->dim / h->heads % 2)
        return error_set(err, ERROR_FORMAT,
            "it is no llama2.c checkpoint: dim %d, %d heads and %d kv heads do not divide evenly", h->dim, h->heads,
            h->kv_heads);
    return 0;
}

static bool stack_bytes(const struct stack *s, const struct header *h, uint64_t *one, uint64_t *all)
{
    /* 2^31 rows times 2^31 columns times 4 bytes fit; times the layers need not */
    *one = (uint64_t)(s->rows ? s->rows : 1) * (uint64_t)s->cols * sizeof(float);
    return size_mul(all, *one, s->per_layer ? (uint64_t)h->layers : 1);
}

static int check_size(const struct plan *p, const struct header *h, size_t size, struct error *err)
{
    uint64_t total = HEADER_BYTES, one, all;
    bool fits = true;
    for (int i = 0; i < p->count && fits; i++)
        fits = stack_bytes(&p->stacks[i], h, &one, &all) && size_add(&total, total, all);
    if (!fits || total != size)
        return error_set(err, ERROR_FORMAT,
            "it has %zu bytes, a llama2.c checkpoint of dim %d, hidden %d, layers %d, heads %d, kv heads %d, "
            "vocabulary %d, context %d has %" PRIu64 "%s", size, h->dim, h->hidden, h->layers, h->heads, h->kv_heads,
            h->vocab, h->context, fits ? total : UINT64_MAX, fits ? "" : " or more");
    return 0;
}

static int add_stack(struct table *tensors, const struct stack *s, const unsigned char *data, int layers, uint64_t one,
    struct error *err)
{
    int rc = 0;
    for (int layer = 0; layer < (s->per_layer ? layers : 1) && rc == 0; layer++) {
        char name[96];
        struct file_tensor t = { .format = &format_f32, .data = data + one * (uint64_t)layer, .bytes = one };
        if (s->rows)
            t.shape[t.dims++] = s->rows;
        t.shape[t.dims++] = s->cols;
        const char *mark = strstr(s->name, "%d");
        int n = mark ? snprintf(name, sizeof name, "%.*s%d%s", (int)(mark - s->name), s->name, layer, mark + 2)
                     : snprintf(name, sizeof name, "%s", s->name);
        rc = table_add(tensors, &t, name, (size_t)n, "F32", 3, err);
    }
    return rc;
}

/* rope_theta and the epsilon are constants of the program the checkpoints were made for. */
static json_t *config_new(const struct header *h, int64_t vocab, bool tied)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:i, s:f, s:f, s:s, s:b, s:i, s:i}", "model_type", "llama",
        "hidden_size", h->dim, "intermediate_size", h->hidden, "num_hidden_layers", h->layers, "num_attention_heads",
        h->heads, "num_key_value_heads", h->kv_heads, "vocab_size", (json_int_t)vocab, "max_position_embeddings",
        h->context, "rms_norm_eps", 1e-5, "rope_theta", 10000.0, "hidden_act", "silu", "tie_word_embeddings", tied,
        "bos_token_id", 1, "eos_token_id", 2);
}

int llama2c_read(struct table *tensors, json_t **config, const void *data, size_t size, const char *path,
    struct error *err)
{
    struct header h;
    struct plan plan;
    int64_t vocab = 0;
    uint64_t at = HEADER_BYTES, one, all;
    int rc = read_header(&h, &vocab, data, size, err);
    if (rc == 0) {
        plan_fill(&plan, &h, vocab, h.vocab > 0);
        rc = check_size(&plan, &h, size, err);
    }
    for (int i = 0; rc == 0 && i < plan.count; i++) {
        const struct stack *s = &plan.stacks[i];
        stack_bytes(s, &h, &one, &all);
        if (s->name)
            rc = add_stack(tensors, s, (const unsigned char *)data + at, h.layers, one, err);
        at += all;
    }
    if (rc == 0) {
        *config = config_new(&h, vocab, h.vocab > 0);
        if (!*config)
            rc = error_memory(err, sizeof(json_t), "a config");
    }
    if (rc)
        error_in(err, "could not read \"%s\"", path);
    return rc;
}
