/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include "base/random.h"
#include "base/utf8.h"
#include "file/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADS 8
#define KV_HEADS 4

/* By their templates the formats are recognised; nothing executes them. */
static const char *const templates[] = {
    [MADE_CHATML] = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\\\n' + "
        "message['content'] + '<|im_end|>' + '\\\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
        "'<|im_start|>assistant\\\\n' }}{% endif %}",
    [MADE_QWEN3] = "<|im_start|> enable_thinking reasoning_content '<tool_call>\\\\n{\\\"name\\\": \\\"' "
        "<tool_response>",
    [MADE_HARMONY] = "<|start|> <|channel|>analysis<|message|>",
};

static const char *const chatml_controls[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>", NULL };
static const char *const harmony_controls[] = { "<|endoftext|>", "<|start|>", "<|channel|>", "<|constrain|>",
    "<|message|>", "<|end|>", "<|return|>", "<|call|>", NULL };

static const char *const *controls_of(enum made_chat chat)
{
    return chat == MADE_HARMONY ? harmony_controls : chatml_controls;
}

static int vocabulary_of(enum made_chat chat)
{
    return chat == MADE_HARMONY ? MADE_HARMONY_VOCABULARY : MADE_VOCABULARY;
}

static int eos_of(enum made_chat chat)
{
    return chat == MADE_HARMONY ? MADE_RETURN : 258;
}

static void write_text(const char *folder, const char *name, struct buffer *text)
{
    assert_false(text->failed);
    test_write(test_join(folder, name), text->data, text->used);
    buffer_release(text);
}

/* The characters that byte-level BPE writes bytes as: printable Latin-1 as itself, the others from U+0100 on. */
static void write_tokenizer(const char *folder, enum made_chat chat)
{
    const char *const *special = controls_of(chat);
    struct buffer b = { 0 };
    int next = 256;
    buffer_printf(&b, "{\"version\": \"1.0\", \"added_tokens\": [");
    for (int i = 0; special[i]; i++)
        buffer_printf(&b, "%s{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, \"rstrip\": "
            "false, \"normalized\": false, \"special\": true}", i ? ", " : "", 256 + i, special[i]);
    buffer_printf(&b, "], \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": "
        "false, \"trim_offsets\": true, \"use_regex\": true}, \"post_processor\": null, \"decoder\": {\"type\": "
        "\"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}, \"model\": "
        "{\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null, "
        "\"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, \"vocab\": {");
    for (int byte = 0; byte < 256; byte++) {
        bool itself = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        char text[4];
        int n = utf8_encode(text, itself ? byte : next++);
        buffer_printf(&b, "%s\"%s%.*s\": %d", byte ? ", " : "", byte == '"' || byte == '\\' ? "\\" : "", n, text, byte);
    }
    buffer_printf(&b, "}, \"merges\": []}}");
    write_text(folder, "tokenizer.json", &b);
    buffer_printf(&b, "{\"bos_token\": \"<|endoftext|>\", \"eos_token\": \"%s\"", special[eos_of(chat) - 256]);
    if (chat)
        buffer_printf(&b, ", \"chat_template\": \"%s\"", templates[chat]);
    buffer_printf(&b, "}");
    write_text(folder, "tokenizer_config.json", &b);
}

struct weights {
    struct file_tensor tensors[256];
    char names[256][80];
    int n;
    struct random random;
};

static void add_weight(struct weights *w, const char *name, int rows, int cols)
{
    size_t n = (size_t)(rows ? rows : 1) * (size_t)cols;
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    assert_true(w->n < 256);
    for (size_t i = 0; i < n; i++)
        values[i] = rows ? (float)((random_unit(&w->random) - 0.5) * 0.2) : 1.0f;
    snprintf(w->names[w->n], sizeof w->names[0], "%s", name);
    w->tensors[w->n] = (struct file_tensor) { .name = w->names[w->n], .type_name = "F32", .format = &format_f32,
        .dims = rows ? 2 : 1, .shape = { rows ? rows : cols, cols }, .data = values, .bytes = n * sizeof *values };
    w->n++;
}

static void add_layer(struct weights *w, const struct made_model *m, int layer)
{
    const struct { const char *name; int rows, cols; } list[] = { { "input_layernorm", 0, m->dim },
        { "post_attention_layernorm", 0, m->dim }, { "self_attn.q_proj", m->dim, m->dim },
        { "self_attn.k_proj", m->dim * KV_HEADS / HEADS, m->dim },
        { "self_attn.v_proj", m->dim * KV_HEADS / HEADS, m->dim }, { "self_attn.o_proj", m->dim, m->dim },
        { "mlp.gate_proj", m->ffn, m->dim }, { "mlp.up_proj", m->ffn, m->dim },
        { "mlp.down_proj", m->dim, m->ffn } };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, list[i].name);
        add_weight(w, name, list[i].rows, list[i].cols);
    }
}

static struct weights *weights_new(void)
{
    struct weights *w = calloc(1, sizeof *w);
    assert_non_null(w);
    random_seed(&w->random, 23);
    return w;
}

/* Write them and release them. */
static void save_weights(struct weights *w, const char *folder)
{
    struct error e = { 0 };
    int rc = safetensors_write(test_join(folder, "model.safetensors"), w->tensors, (size_t)w->n, NULL, &e);
    for (int i = 0; i < w->n; i++)
        free((void *)(uintptr_t)w->tensors[i].data);
    free(w);
    if (rc)
        fail_msg("%s", e.text);
}

static void write_weights(const char *folder, const struct made_model *m)
{
    struct weights *w = weights_new();
    add_weight(w, "model.embed_tokens.weight", vocabulary_of(m->chat), m->dim);
    add_weight(w, "model.norm.weight", 0, m->dim);
    add_weight(w, "lm_head.weight", vocabulary_of(m->chat), m->dim);
    for (int layer = 0; layer < m->layers; layer++)
        add_layer(w, m, layer);
    save_weights(w, folder);
}

const char *make_model(const struct made_model *m)
{
    const char *folder = test_folder();
    struct buffer b = { 0 };
    bool windowed = m->window > 0;
    buffer_printf(&b, "{\"model_type\": \"%s\", \"architectures\": [\"%s\"], \"hidden_size\": %d, "
        "\"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d, "
        "\"num_key_value_heads\": %d, \"vocab_size\": %d, \"max_position_embeddings\": %d, \"rms_norm_eps\": 1e-5, "
        "\"rope_theta\": 10000.0, "
        "\"hidden_act\": \"silu\", \"tie_word_embeddings\": false, \"bos_token_id\": 256, \"eos_token_id\": %d",
        windowed ? "mistral" : "llama", windowed ? "MistralForCausalLM" : "LlamaForCausalLM", m->dim, m->ffn, m->layers,
        HEADS, KV_HEADS, vocabulary_of(m->chat), m->context, eos_of(m->chat));
    if (windowed)
        buffer_printf(&b, ", \"sliding_window\": %d", m->window);
    buffer_printf(&b, "}");
    write_text(folder, "config.json", &b);
    write_tokenizer(folder, m->chat);
    write_weights(folder, m);
    return folder;
}

/* ---- scripted ---- */

#define SCRIPT_DIM 272 /* a dimension for every token */

/* One layer that adds nothing. rows 0: a vector. */
static void add_constant(struct weights *w, const char *name, int rows, int cols, float value)
{
    add_weight(w, name, rows, cols);
    float *values = (float *)(uintptr_t)w->tensors[w->n - 1].data;
    for (size_t i = 0; i < (size_t)(rows ? rows : 1) * (size_t)cols; i++)
        values[i] = value;
}

static float *add_zeros(struct weights *w, const char *name, int rows, int cols)
{
    add_constant(w, name, rows, cols, 0);
    return (float *)(uintptr_t)w->tensors[w->n - 1].data;
}

/* The token the text begins with; *text behind it. */
static int next_token(const char **text, enum made_chat chat)
{
    for (int i = 0; controls_of(chat)[i]; i++) {
        size_t n = strlen(controls_of(chat)[i]);
        if (strncmp(*text, controls_of(chat)[i], n) == 0) {
            *text += n;
            return 256 + i;
        }
    }
    return (unsigned char)*(*text)++;
}

static void write_scripted_weights(const char *folder, enum made_chat chat, const struct made_line *lines, size_t n)
{
    struct weights *w = weights_new();
    const int d = SCRIPT_DIM;
    float *tokens = add_zeros(w, "wte.weight", vocabulary_of(chat), d);
    for (int id = 0; id < vocabulary_of(chat); id++)
        tokens[id * d + id] = 1;
    float *positions = add_zeros(w, "wpe.weight", MADE_SCRIPT_CONTEXT, d);
    for (size_t i = 0; i < n; i++) {
        const char *text = lines[i].text;
        for (int at = lines[i].position - 1; *text; at++)
            positions[at * d + next_token(&text, chat)] = 50;
    }
    for (int i = 1; i <= 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "h.0.ln_%d.weight", i);
        add_constant(w, name, 0, d, 1);
        snprintf(name, sizeof name, "h.0.ln_%d.bias", i);
        add_zeros(w, name, 0, d);
    }
    add_zeros(w, "h.0.attn.c_attn.weight", d, 3 * d);
    add_zeros(w, "h.0.attn.c_attn.bias", 0, 3 * d);
    add_zeros(w, "h.0.attn.c_proj.weight", d, d);
    add_zeros(w, "h.0.attn.c_proj.bias", 0, d);
    add_zeros(w, "h.0.mlp.c_fc.weight", d, d);
    add_zeros(w, "h.0.mlp.c_fc.bias", 0, d);
    add_zeros(w, "h.0.mlp.c_proj.weight", d, d);
    add_zeros(w, "h.0.mlp.c_proj.bias", 0, d);
    add_constant(w, "ln_f.weight", 0, d, 1);
    add_zeros(w, "ln_f.bias", 0, d);
    save_weights(w, folder);
}

const char *make_scripted(enum made_chat chat, const struct made_line *lines, size_t n)
{
    const char *folder = test_folder();
    struct buffer b = { 0 };
    buffer_printf(&b, "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": %d, "
        "\"n_inner\": %d, \"n_layer\": 1, \"n_head\": %d, \"vocab_size\": %d, \"n_positions\": %d, "
        "\"bos_token_id\": 256, \"eos_token_id\": %d}", SCRIPT_DIM, SCRIPT_DIM, HEADS, vocabulary_of(chat),
        MADE_SCRIPT_CONTEXT, eos_of(chat));
    write_text(folder, "config.json", &b);
    write_tokenizer(folder, chat);
    write_scripted_weights(folder, chat, lines, n);
    return folder;
}
