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

static const char chat_template[] = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\\\n' + "
    "message['content'] + '<|im_end|>' + '\\\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\\\\n' }}{% endif %}";

static void write_text(const char *folder, const char *name, struct buffer *text)
{
    assert_false(text->failed);
    test_write(test_join(folder, name), text->data, text->used);
    buffer_release(text);
}

/* The characters that byte-level BPE writes bytes as: printable Latin-1 as itself, the others from U+0100 on. */
static void write_tokenizer(const char *folder, bool chat)
{
    static const char *const special[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
    struct buffer b = { 0 };
    int next = 256;
    buffer_printf(&b, "{\"version\": \"1.0\", \"added_tokens\": [");
    for (int i = 0; i < 3; i++)
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
    buffer_printf(&b, "{\"bos_token\": \"<|endoftext|>\", \"eos_token\": \"<|im_end|>\"");
    if (chat)
        buffer_printf(&b, ", \"chat_template\": \"%s\"", chat_template);
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

static void write_weights(const char *folder, const struct made_model *m)
{
    struct weights *w = calloc(1, sizeof *w);
    struct error e = { 0 };
    assert_non_null(w);
    random_seed(&w->random, 23);
    add_weight(w, "model.embed_tokens.weight", MADE_VOCABULARY, m->dim);
    add_weight(w, "model.norm.weight", 0, m->dim);
    add_weight(w, "lm_head.weight", MADE_VOCABULARY, m->dim);
    for (int layer = 0; layer < m->layers; layer++)
        add_layer(w, m, layer);
    int rc = safetensors_write(test_join(folder, "model.safetensors"), w->tensors, (size_t)w->n, NULL, &e);
    for (int i = 0; i < w->n; i++)
        free((void *)(uintptr_t)w->tensors[i].data);
    free(w);
    if (rc)
        fail_msg("%s", e.text);
}

const char *make_model(const struct made_model *m)
{
    const char *folder = test_folder();
    struct buffer b = { 0 };
    buffer_printf(&b, "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": %d, "
        "\"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d, "
        "\"num_key_value_heads\": %d, \"vocab_size\": %d, \"max_position_embeddings\": %d, \"rms_norm_eps\": 1e-5, "
        "\"rope_theta\": 10000.0, "
        "\"hidden_act\": \"silu\", \"tie_word_embeddings\": false, \"bos_token_id\": 256, \"eos_token_id\": 258}",
        m->dim, m->ffn, m->layers, HEADS, KV_HEADS, MADE_VOCABULARY, m->context);
    write_text(folder, "config.json", &b);
    write_tokenizer(folder, m->chat);
    write_weights(folder, m);
    return folder;
}
