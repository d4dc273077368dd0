/* SPDX-License-Identifier: Apache-2.0 */
/* What ggml's converter does to a model: other names, q and k rows of llama interleaved, GPT-2's matrices turned,
 * Gemma's gains with 1 added, experts in one stack, llama3's rope as divisors. Shares nothing with src/model. */
#include "case.h"

#include "make_gguf.h"
#include "support.h"

#include "tensor/format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rename {
    const char *from, *to; /* "%d": the layer; a second one in `from`: the expert */
};

static const struct rename llama_names[] = {
    { "model.embed_tokens.weight", "token_embd.weight" },
    { "model.norm.weight", "output_norm.weight" },
    { "lm_head.weight", "output.weight" },
    { "model.layers.%d.input_layernorm.weight", "blk.%d.attn_norm.weight" },
    { "model.layers.%d.self_attn.q_proj.weight", "blk.%d.attn_q.weight" },
    { "model.layers.%d.self_attn.k_proj.weight", "blk.%d.attn_k.weight" },
    { "model.layers.%d.self_attn.v_proj.weight", "blk.%d.attn_v.weight" },
    { "model.layers.%d.self_attn.o_proj.weight", "blk.%d.attn_output.weight" },
    { "model.layers.%d.self_attn.q_proj.bias", "blk.%d.attn_q.bias" },
    { "model.layers.%d.self_attn.k_proj.bias", "blk.%d.attn_k.bias" },
    { "model.layers.%d.self_attn.v_proj.bias", "blk.%d.attn_v.bias" },
    { "model.layers.%d.self_attn.o_proj.bias", "blk.%d.attn_output.bias" },
    { "model.layers.%d.self_attn.q_norm.weight", "blk.%d.attn_q_norm.weight" },
    { "model.layers.%d.self_attn.k_norm.weight", "blk.%d.attn_k_norm.weight" },
    { "model.layers.%d.mlp.gate_proj.weight", "blk.%d.ffn_gate.weight" },
    { "model.layers.%d.mlp.up_proj.weight", "blk.%d.ffn_up.weight" },
    { "model.layers.%d.mlp.down_proj.weight", "blk.%d.ffn_down.weight" },
    { "model.layers.%d.mlp.gate_proj.bias", "blk.%d.ffn_gate.bias" },
    { "model.layers.%d.mlp.up_proj.bias", "blk.%d.ffn_up.bias" },
    { "model.layers.%d.mlp.down_proj.bias", "blk.%d.ffn_down.bias" },
    { "model.layers.%d.block_sparse_moe.gate.weight", "blk.%d.ffn_gate_inp.weight" },
    { "model.layers.%d.block_sparse_moe.experts.%d.w1.weight", "blk.%d.ffn_gate_exps.weight" },
    { "model.layers.%d.block_sparse_moe.experts.%d.w3.weight", "blk.%d.ffn_up_exps.weight" },
    { "model.layers.%d.block_sparse_moe.experts.%d.w2.weight", "blk.%d.ffn_down_exps.weight" },
    { "model.layers.%d.mlp.gate.weight", "blk.%d.ffn_gate_inp.weight" },
    { "model.layers.%d.mlp.experts.%d.gate_proj.weight", "blk.%d.ffn_gate_exps.weight" },
    { "model.layers.%d.mlp.experts.%d.up_proj.weight", "blk.%d.ffn_up_exps.weight" },
    { "model.layers.%d.mlp.experts.%d.down_proj.weight", "blk.%d.ffn_down_exps.weight" },
    { "model.layers.%d.pre_feedforward_layernorm.weight", "blk.%d.ffn_norm.weight" },
    { "model.layers.%d.post_feedforward_layernorm.weight", "blk.%d.post_ffw_norm.weight" },
    { "model.layers.%d.self_attn.sinks", "blk.%d.attn_sinks.weight" },
    { "model.layers.%d.mlp.router.weight", "blk.%d.ffn_gate_inp.weight" },
    { "model.layers.%d.mlp.router.bias", "blk.%d.ffn_gate_inp.bias" },
    { "model.layers.%d.mlp.experts.down_proj_bias", "blk.%d.ffn_down_exps.bias" },
    { "transformer.wte.weight", "token_embd.weight" },
    { "transformer.wpe.weight", "position_embd.weight" },
    { "transformer.ln_f.weight", "output_norm.weight" },
    { "transformer.ln_f.bias", "output_norm.bias" },
    { "transformer.h.%d.ln_1.weight", "blk.%d.attn_norm.weight" },
    { "transformer.h.%d.ln_1.bias", "blk.%d.attn_norm.bias" },
    { "transformer.h.%d.ln_2.weight", "blk.%d.ffn_norm.weight" },
    { "transformer.h.%d.ln_2.bias", "blk.%d.ffn_norm.bias" },
    { "transformer.h.%d.attn.c_attn.weight", "blk.%d.attn_qkv.weight" },
    { "transformer.h.%d.attn.c_attn.bias", "blk.%d.attn_qkv.bias" },
    { "transformer.h.%d.attn.c_proj.weight", "blk.%d.attn_output.weight" },
    { "transformer.h.%d.attn.c_proj.bias", "blk.%d.attn_output.bias" },
    { "transformer.h.%d.mlp.c_fc.weight", "blk.%d.ffn_up.weight" },
    { "transformer.h.%d.mlp.c_fc.bias", "blk.%d.ffn_up.bias" },
    { "transformer.h.%d.mlp.c_proj.weight", "blk.%d.ffn_down.weight" },
    { "transformer.h.%d.mlp.c_proj.bias", "blk.%d.ffn_down.bias" },
};

static const char *const architectures[][2] = { { "gpt2", "gpt2" }, { "llama", "llama" }, { "mistral", "llama" },
    { "mixtral", "llama" }, { "qwen2", "qwen2" }, { "qwen3", "qwen3" }, { "qwen3_moe", "qwen3moe" },
    { "gemma2", "gemma2" }, { "gemma3_text", "gemma3" }, { "gpt_oss", "gpt-oss" } };

struct converter {
    const struct golden_case *c;
    struct make_gguf file;
    const char *model_type, *architecture;
    bool gemma, gpt_oss, permuted;
    int layers, heads, kv_heads, head_dim;
};

/* The layer and expert of a name that matches a pattern; false where it does not. */
static bool match(const char *name, const char *pattern, int number[2])
{
    int n = 0;
    number[0] = number[1] = 0;
    while (*pattern) {
        if (pattern[0] == '%') {
            char *end;
            number[n++] = (int)strtol(name, &end, 10);
            if (end == name)
                return false;
            name = end;
            pattern += 2;
        } else if (*name++ != *pattern++) {
            return false;
        }
    }
    return *name == '\0';
}

/* (H, 2, D/2) -> (H, D/2, 2): halves of a head become neighbours. cols: 1 for a bias. */
static void permute(struct case_tensor *t, int heads)
{
    int64_t cols = t->dims == 2 ? t->shape[1] : 1, head = t->shape[0] / heads, half = head / 2;
    float *out = malloc((size_t)t->count * sizeof *out);
    assert_non_null(out);
    for (int64_t row = 0; row < t->shape[0]; row++) {
        int64_t h = row / head, d = row % head, to = h * head + (d % half) * 2 + d / half;
        memcpy(out + to * cols, t->data + row * cols, (size_t)cols * sizeof *out);
    }
    free(t->data);
    t->data = out;
}

static void turn(struct case_tensor *t)
{
    int64_t rows = t->shape[0], cols = t->shape[1];
    float *out = malloc((size_t)t->count * sizeof *out);
    assert_non_null(out);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            out[c * rows + r] = t->data[r * cols + c];
    free(t->data);
    t->data = out;
    t->shape[0] = cols;
    t->shape[1] = rows;
}

static void transform(const struct converter *v, struct case_tensor *t)
{
    if (v->permuted && strstr(t->name, ".q_proj."))
        permute(t, v->heads);
    if (v->permuted && strstr(t->name, ".k_proj."))
        permute(t, v->kv_heads);
    if (strstr(t->name, ".c_") && t->dims == 2)
        turn(t);
    for (int64_t i = 0; v->gemma && strstr(t->name, "norm.weight") && i < t->count; i++)
        t->data[i] += 1.0f;
}

static void begin_tensor(struct converter *v, const char *name, int dims, const int64_t *shape, uint32_t type)
{
    uint64_t fastest_first[3];
    while (v->file.data.used % 32)
        buffer_add_byte(&v->file.data, 0);
    for (int d = 0; d < dims; d++)
        fastest_first[d] = (uint64_t)shape[dims - 1 - d];
    make_info(&v->file, name, dims, fastest_first, type, v->file.data.used);
}

static void add_data(struct converter *v, const struct case_tensor *t, bool bf16)
{
    for (int64_t i = 0; i < t->count; i++)
        buffer_add(&v->file.data, (const unsigned char *)&t->data[i] + (bf16 ? 2 : 0), bf16 ? 2 : 4);
}

/* "blk.%d.x" with the layer put in. */
static void put_layer(char *out, size_t size, const char *pattern, int layer)
{
    const char *mark = strstr(pattern, "%d");
    if (mark)
        snprintf(out, size, "%.*s%d%s", (int)(mark - pattern), pattern, layer, mark + 2);
    else
        snprintf(out, size, "%s", pattern);
}

static const struct rename *find_rename(const struct converter *v, const char *name, int number[2])
{
    static const struct rename behind = { "", "blk.%d.post_attention_norm.weight" };
    static const struct rename before = { "", "blk.%d.ffn_norm.weight" };
    for (size_t i = 0; i < sizeof llama_names / sizeof llama_names[0]; i++)
        if (match(name, llama_names[i].from, number))
            return &llama_names[i];
    assert_true(match(name, "model.layers.%d.post_attention_layernorm.weight", number));
    return v->gemma || v->gpt_oss ? &behind : &before; /* the same name for two things */
}

static void convert_stack(struct converter *v, const char *name, const struct case_tensor *first)
{
    const char *mark = strstr(first->name, ".experts.0.");
    int64_t experts = json_whole(v->c->text, "num_experts", json_whole(v->c->text, "num_local_experts", 0));
    int64_t shape[3] = { experts, first->shape[0], first->shape[1] };
    begin_tensor(v, name, 3, shape, 0);
    for (int e = 0; e < (int)experts; e++) {
        char expert[128];
        struct case_tensor t;
        snprintf(expert, sizeof expert, "%.*s.experts.%d.%s", (int)(mark - first->name), first->name, e, mark + 11);
        assert_true(case_tensor_find(&t, v->c, expert));
        add_data(v, &t, false);
        case_tensor_release(&t);
    }
}

/* gpt-oss: (experts, in, out) becomes (experts, out, in), and what took turns is taken apart. */
static void convert_part(struct converter *v, const struct case_tensor *t, const char *pattern, int layer, int first,
    int step)
{
    bool matrix = t->dims == 3;
    int64_t outs = t->shape[matrix ? 2 : 1] / step, shape[3] = { t->shape[0], outs, t->shape[1] };
    float *part = matrix ? case_turned_new(t, first, step) : case_picked_new(t, first, step);
    struct case_tensor made = { .count = t->count / step, .data = part };
    char name[128];
    put_layer(name, sizeof name, pattern, layer);
    begin_tensor(v, name, t->dims, shape, t->mxfp4 ? 39 : 0);
    if (t->mxfp4) {
        size_t bytes = format_row_bytes(&format_mxfp4, made.count);
        unsigned char *blocks = malloc(bytes);
        assert_non_null(blocks);
        format_mxfp4.encode(blocks, part, NULL, made.count);
        buffer_add(&v->file.data, blocks, bytes);
        free(blocks);
    } else {
        add_data(v, &made, false);
    }
    free(part);
}

static bool convert_gpt_oss(struct converter *v, const struct case_tensor *t)
{
    int number[2];
    if (match(t->name, "model.layers.%d.mlp.experts.gate_up_proj", number)) {
        convert_part(v, t, "blk.%d.ffn_gate_exps.weight", number[0], 0, 2);
        convert_part(v, t, "blk.%d.ffn_up_exps.weight", number[0], 1, 2);
    } else if (match(t->name, "model.layers.%d.mlp.experts.gate_up_proj_bias", number)) {
        convert_part(v, t, "blk.%d.ffn_gate_exps.bias", number[0], 0, 2);
        convert_part(v, t, "blk.%d.ffn_up_exps.bias", number[0], 1, 2);
    } else if (match(t->name, "model.layers.%d.mlp.experts.down_proj", number)) {
        convert_part(v, t, "blk.%d.ffn_down_exps.weight", number[0], 0, 1);
    } else {
        return false;
    }
    return true;
}

/* One tensor, or with its first expert the whole stack. */
static void convert_tensor(struct converter *v, size_t index)
{
    struct case_tensor t;
    int number[2];
    char name[128];
    case_tensor_make(&t, v->c, index);
    if (v->gpt_oss && convert_gpt_oss(v, &t)) {
        case_tensor_release(&t);
        return;
    }
    const struct rename *r = find_rename(v, t.name, number);
    bool stacked = strstr(r->to, "_exps.weight") != NULL, bf16 = case_is_bf16(v->c) && t.dims == 2;
    put_layer(name, sizeof name, r->to, number[0]);
    if (stacked && number[1] == 0) {
        convert_stack(v, name, &t);
    } else if (!stacked) {
        transform(v, &t);
        begin_tensor(v, name, t.dims, t.shape, bf16 ? 30 : 0);
        add_data(v, &t, bf16);
    }
    case_tensor_release(&t);
}

static void put_whole(struct converter *v, const char *key, const char *config)
{
    char full[128];
    long long value = json_whole(v->c->text, config, -1);
    snprintf(full, sizeof full, "%s.%s", v->architecture, key);
    if (value >= 0)
        make_whole(&v->file, full, GGUF_UINT32, value);
}

static void put_real(struct converter *v, const char *key, double value)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", v->architecture, key);
    make_real(&v->file, full, (float)value);
}

/* The rope of layers without a window, in either form of config. */
static const json_t *rope_of(const json_t *c)
{
    const json_t *p = json_object_get(c, "rope_parameters");
    const json_t *full = json_object_get(p, "full_attention");
    return full ? full : p ? p : json_object_get(c, "rope_scaling");
}

static const char *rope_type(const json_t *rope)
{
    return json_text(rope, "rope_type", json_text(rope, "type", "default"));
}

static void convert_llama3(struct converter *v, const json_t *rope, double base)
{
    double factor = json_real_of(rope, "factor", 0), low = json_real_of(rope, "low_freq_factor", 0);
    double high = json_real_of(rope, "high_freq_factor", 0);
    double context = json_real_of(rope, "original_max_position_embeddings", 0);
    int64_t pairs = v->head_dim / 2;
    begin_tensor(v, "rope_freqs.weight", 1, &pairs, 0);
    for (int i = 0; i < pairs; i++) {
        double wave = 6.283185307179586 * pow(base, 2.0 * i / v->head_dim);
        double smooth = (context / wave - low) / (high - low);
        float divisor = wave < context / high ? 1.0f : wave > context / low ? (float)factor
            : (float)(1 / ((1 - smooth) / factor + smooth));
        buffer_add(&v->file.data, &divisor, sizeof divisor);
    }
}

static void convert_rope(struct converter *v)
{
    const json_t *rope = rope_of(v->c->text), *parameters = json_object_get(v->c->text, "rope_parameters");
    double base = json_real_of(rope, "rope_theta", json_real_of(v->c->text, "rope_theta", 10000));
    char full[128];
    put_real(v, "rope.freq_base", base);
    if (strcmp(v->architecture, "gemma3") == 0)
        put_real(v, "rope.freq_base_swa", json_real_of(json_object_get(parameters, "sliding_attention"), "rope_theta",
            json_real_of(v->c->text, "rope_local_base_freq", 10000)));
    if (strcmp(rope_type(rope), "llama3") == 0) {
        convert_llama3(v, rope, base);
    } else if (strcmp(rope_type(rope), "default") != 0) {
        snprintf(full, sizeof full, "%s.rope.scaling.type", v->architecture);
        make_text(&v->file, full, rope_type(rope));
        put_real(v, "rope.scaling.factor", json_real_of(rope, "factor", 0));
        snprintf(full, sizeof full, "%s.rope.scaling.original_context_length", v->architecture);
        long long context = json_whole(rope, "original_max_position_embeddings", -1);
        if (context > 0)
            make_whole(&v->file, full, GGUF_UINT32, context);
        if (json_object_get(rope, "beta_fast")) {
            put_real(v, "rope.scaling.yarn_beta_fast", json_real_of(rope, "beta_fast", 0));
            put_real(v, "rope.scaling.yarn_beta_slow", json_real_of(rope, "beta_slow", 0));
        }
    }
}

static void convert_gemma(struct converter *v)
{
    const json_t *types = json_object_get(v->c->text, "layer_types");
    char full[128];
    put_whole(v, "attention.sliding_window", "sliding_window");
    put_real(v, "attention.scale", 1 / sqrt(json_real_of(v->c->text, "query_pre_attn_scalar", v->head_dim)));
    if (strcmp(v->architecture, "gemma2") == 0) {
        put_real(v, "attn_logit_softcapping", json_real_of(v->c->text, "attn_logit_softcapping", 0));
        put_real(v, "final_logit_softcapping", json_real_of(v->c->text, "final_logit_softcapping", 0));
    }
    if (!types)
        return;
    snprintf(full, sizeof full, "%s.attention.sliding_window_pattern", v->architecture);
    make_array(&v->file, full, GGUF_BOOL, (uint64_t)v->layers);
    for (int i = 0; i < v->layers; i++)
        make_number(&v->file.keys, json_string_value(json_array_get(types, (size_t)i))[0] == 's', 1);
}

static void convert_numbers(struct converter *v)
{
    static const char *const keys[][2] = { { "context_length", "max_position_embeddings" },
        { "embedding_length", "hidden_size" }, { "block_count", "num_hidden_layers" },
        { "feed_forward_length", "intermediate_size" }, { "attention.head_count", "num_attention_heads" },
        { "attention.head_count_kv", "num_key_value_heads" }, { "attention.key_length", "head_dim" },
        { "attention.value_length", "head_dim" }, { "rope.dimension_count", "head_dim" },
        { "expert_used_count", "num_experts_per_tok" }, { "expert_count", "num_local_experts" },
        { "expert_count", "num_experts" }, { "expert_feed_forward_length", "moe_intermediate_size" },
        { "context_length", "n_positions" }, { "embedding_length", "n_embd" }, { "block_count", "n_layer" },
        { "attention.head_count", "n_head" } };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put_whole(v, keys[i][0], keys[i][1]);
    if (strcmp(v->architecture, "gpt2") == 0) {
        long long inner = json_whole(v->c->text, "n_inner", 4 * json_whole(v->c->text, "n_embd", 0));
        make_whole(&v->file, "gpt2.feed_forward_length", GGUF_UINT32, inner);
        put_real(v, "attention.layer_norm_epsilon", json_real_of(v->c->text, "layer_norm_epsilon", 0));
        return;
    }
    put_real(v, "attention.layer_norm_rms_epsilon", json_real_of(v->c->text, "rms_norm_eps", 0));
    convert_rope(v);
    if (v->gemma)
        convert_gemma(v);
    if (v->gpt_oss) {
        put_whole(v, "attention.sliding_window", "sliding_window");
        put_whole(v, "expert_feed_forward_length", "intermediate_size");
    }
}

static const char *inexpressible(const struct converter *v)
{
    const json_t *c = v->c->text, *rope = rope_of(c);
    bool window = json_whole(c, "sliding_window", 0) > 0;
    if (!v->gemma && !v->gpt_oss && window && json_flag(c, "use_sliding_window", strstr(v->model_type, "qwen") == NULL))
        return "no window in GGUF for this family";
    if (json_object_get(rope, "attention_factor"))
        return "no attention_factor in GGUF";
    if (!json_flag(c, "norm_topk_prob", true) || json_whole(c, "decoder_sparse_step", 1) != 1)
        return "no norm_topk_prob and decoder_sparse_step in GGUF";
    return NULL;
}

const char *case_write_gguf(const struct golden_case *c, const char *path)
{
    struct converter v = { .c = c, .model_type = json_text(c->text, "model_type", "") };
    struct buffer out = { 0 };
    for (size_t i = 0; i < sizeof architectures / sizeof architectures[0]; i++)
        if (strcmp(architectures[i][0], v.model_type) == 0)
            v.architecture = architectures[i][1];
    assert_non_null(v.architecture);
    v.gemma = strncmp(v.architecture, "gemma", 5) == 0;
    v.gpt_oss = strcmp(v.architecture, "gpt-oss") == 0;
    v.permuted = strcmp(v.architecture, "llama") == 0;
    v.layers = (int)json_whole(c->text, "num_hidden_layers", 0);
    v.heads = (int)json_whole(c->text, "num_attention_heads", 1);
    v.kv_heads = (int)json_whole(c->text, "num_key_value_heads", v.heads);
    v.head_dim = (int)json_whole(c->text, "head_dim", json_whole(c->text, "hidden_size", 0) / v.heads);
    const char *reason = inexpressible(&v);
    if (reason)
        return reason;
    make_text(&v.file, "general.architecture", v.architecture);
    convert_numbers(&v);
    for (size_t i = 0; i < case_tensors(c); i++)
        convert_tensor(&v, i);
    make_gguf_end(&v.file, &out);
    test_write(path, out.data, out.used);
    buffer_release(&out);
    return NULL;
}
