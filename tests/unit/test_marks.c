/* SPDX-License-Identifier: Apache-2.0 */
/* No user's words become control tokens: every chat format, every kind of vocabulary, every kind that files give marks.
 * Each vocabulary holds all bytes and, at the end, the marks of all formats. */
#include "make_gguf.h"
#include "small_spm.h"
#include "support.h"
#include "base/utf8.h"
#include "text/chat/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum declared { AS_NORMAL, AS_USER, AS_CONTROL, DECLARED };

static const char *marks[64];
static int mark_count;

/* BOS and EOS first; every mark once. */
static void collect_marks(void)
{
    const char *name;
    marks[0] = "<s>";
    marks[1] = "</s>";
    mark_count = 2;
    for (int i = 0; (name = chat_mark(i)); i++) {
        int k = 0;
        while (k < mark_count && strcmp(marks[k], name) != 0)
            k++;
        marks[k] = name;
        mark_count = k == mark_count ? k + 1 : mark_count;
        assert_true(mark_count < 64);
    }
}

static struct tokenizer *open_text(const char *name, struct buffer *text)
{
    struct tokenizer *t;
    struct error err = {0};
    const char *path = test_join(test_folder(), name);
    assert_false(text->failed);
    test_write(path, text->data, text->used);
    buffer_release(text);
    if (tokenizer_open(&t, path, NULL, &err) != 0)
        fail_msg("%s", err.text);
    return t;
}

/* ---- SentencePiece ---- */

static struct tokenizer *open_spm(enum small_spm_model type, enum declared as)
{
    static const enum small_spm_type types[] = {SPM_NORMAL, SPM_USER, SPM_CONTROL};
    struct buffer model = {0};
    struct small_settings s = {.type = type, .bos = 257, .eos = 258, .pad = -1, .byte_fallback = true, .escape = true};
    small_byte_pieces(&model);
    small_piece(&model, "<unk>", 0, SPM_UNKNOWN);
    for (int i = 0; i < mark_count; i++)
        small_piece(&model, marks[i], -1, types[i < 2 ? AS_CONTROL : as]);
    /* what merging reaches a mark through */
    small_piece(&model, "<start_of_turn", -2, SPM_NORMAL);
    small_piece(&model, ">", -3, SPM_NORMAL);
    small_piece(&model, "<", -3, SPM_NORMAL);
    small_piece(&model, "start_of_turn", -2, SPM_NORMAL);
    small_settings(&model, &s);
    return open_text("tokenizer.model", &model);
}

static struct tokenizer *open_spm_bpe(enum declared as)
{
    return open_spm(SPM_BPE, as);
}

static struct tokenizer *open_spm_unigram(enum declared as)
{
    return open_spm(SPM_UNIGRAM, as);
}

/* ---- GGUF ---- */

/* The characters that byte-level BPE writes bytes as. */
static int byte_spelling(char out[4], int byte, int *next)
{
    bool itself = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    return utf8_encode(out, itself ? byte : (*next)++);
}

static struct tokenizer *open_gguf(const char *model, enum declared as)
{
    static const int types[] = {1, 4, 3};
    struct make_gguf m = {0};
    struct buffer file = {0};
    bool bpe = strcmp(model, "gpt2") == 0;
    int n = 257 + mark_count, next = 256;
    make_text(&m, "general.architecture", "llama");
    make_text(&m, "tokenizer.ggml.model", model);
    if (bpe)
        make_text(&m, "tokenizer.ggml.pre", "llama-bpe"); /* takes whole words before it merges */
    make_array(&m, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)n);
    for (int i = 0; i < 256; i++) {
        char text[8];
        int length = bpe ? byte_spelling(text, i, &next) : snprintf(text, sizeof text, "<0x%02X>", i);
        make_string(&m.keys, text, (size_t)length);
    }
    make_string(&m.keys, "<unk>", 5);
    for (int i = 0; i < mark_count; i++)
        make_string(&m.keys, marks[i], strlen(marks[i]));
    make_array(&m, "tokenizer.ggml.token_type", GGUF_INT32, (uint64_t)n);
    for (int i = 0; i < n; i++)
        make_number(&m.keys, (uint64_t)(i < 256 ? (bpe ? 1 : 6) : i == 256 ? 2 : types[as]), 4);
    make_array(&m, "tokenizer.ggml.scores", GGUF_FLOAT32, (uint64_t)n);
    for (int i = 0; i < n; i++)
        make_number(&m.keys, 0, 4);
    make_array(&m, "tokenizer.ggml.merges", GGUF_STRING, 0);
    make_whole(&m, "tokenizer.ggml.bos_token_id", GGUF_UINT32, 257);
    make_whole(&m, "tokenizer.ggml.eos_token_id", GGUF_UINT32, 258);
    make_gguf_end(&m, &file);
    return open_text("vocabulary.gguf", &file);
}

static struct tokenizer *open_gguf_llama(enum declared as)
{
    return open_gguf("llama", as);
}

static struct tokenizer *open_gguf_t5(enum declared as)
{
    return open_gguf("t5", as);
}

static struct tokenizer *open_gguf_bpe(enum declared as)
{
    return open_gguf("gpt2", as);
}

/* ---- tokenizer.json ---- */

static void put_added(struct buffer *b, enum declared as)
{
    buffer_add_text(b, "{\"added_tokens\":[");
    for (int i = 0; i < mark_count; i++)
        if (i < 2 || as != AS_NORMAL)
            buffer_printf(b, "%s{\"id\":%d,\"content\":\"%s\",\"normalized\":%s,\"special\":%s}", i ? "," : "", 257 + i,
                marks[i], i % 2 ? "true" : "false", i < 2 || as == AS_CONTROL ? "true" : "false");
    buffer_add_text(b, "],");
}

/* One entry for each byte, <unk> and, for AS_NORMAL, the marks: as members, or (pairs) with scores. */
static void put_vocabulary(struct buffer *b, bool byte_level, bool pairs, enum declared as)
{
    int n = as == AS_NORMAL ? 257 + mark_count : 257, next = 256;
    for (int i = 0; i < n; i++) {
        char text[80];
        int length = i >= 256     ? snprintf(text, sizeof text, "%s", i == 256 ? "<unk>" : marks[i - 257])
                     : byte_level ? byte_spelling(text, i, &next)
                                  : snprintf(text, sizeof text, "<0x%02X>", i);
        const char *escape = length == 1 && (*text == '"' || *text == '\\') ? "\\" : "";
        buffer_printf(b, pairs ? "%s[\"%s%.*s\",%d]" : "%s\"%s%.*s\":%d", i ? "," : "", escape, length, text,
            pairs ? -1 : i);
    }
}

static struct tokenizer *open_json_byte_level(enum declared as)
{
    struct buffer b = {0};
    put_added(&b, as);
    buffer_add_text(&b, "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false},"
                        "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,"
                        "\"merges\":[],\"vocab\":{");
    put_vocabulary(&b, true, false, as);
    buffer_add_text(&b, "}}}");
    return open_text("tokenizer.json", &b);
}

static struct tokenizer *open_json_fallback(enum declared as)
{
    struct buffer b = {0};
    put_added(&b, as);
    buffer_add_text(&b, "\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"byte_fallback\":true,"
                        "\"unk_token\":\"<unk>\",\"merges\":[],\"vocab\":{");
    put_vocabulary(&b, false, false, as);
    buffer_add_text(&b, "}}}");
    return open_text("tokenizer.json", &b);
}

static struct tokenizer *open_json_unigram(enum declared as)
{
    struct buffer b = {0};
    put_added(&b, as);
    buffer_add_text(&b, "\"model\":{\"type\":\"Unigram\",\"byte_fallback\":true,\"unk_id\":256,\"vocab\":[");
    put_vocabulary(&b, false, true, as);
    buffer_add_text(&b, "]}}");
    return open_text("tokenizer.json", &b);
}

/* vocab.json with merges.txt and tokenizer_config.json: Qwen2 as published. */
static struct tokenizer *open_vocab(enum declared as)
{
    const char *folder = test_folder();
    struct buffer b = {0};
    struct tokenizer *t;
    struct error err = {0};
    buffer_add_text(&b, "{");
    put_vocabulary(&b, true, false, as);
    buffer_add_text(&b, "}");
    test_write(test_join(folder, "vocab.json"), b.data, b.used);
    test_write(test_join(folder, "merges.txt"), "#version: 0.2\n", 14);
    buffer_clear(&b);
    buffer_add_text(&b, "{\"tokenizer_class\":\"Qwen2Tokenizer\",\"bos_token\":\"<s>\",\"eos_token\":\"</s>\","
                        "\"added_tokens_decoder\":{");
    for (int i = 0; i < mark_count; i++)
        if (i < 2 || as != AS_NORMAL)
            buffer_printf(&b, "%s\"%d\":{\"content\":\"%s\",\"special\":%s}", i ? "," : "", 257 + i, marks[i],
                i < 2 || as == AS_CONTROL ? "true" : "false");
    buffer_add_text(&b, "}}");
    test_write(test_join(folder, "tokenizer_config.json"), b.data, b.used);
    buffer_release(&b);
    if (tokenizer_open(&t, folder, NULL, &err) != 0)
        fail_msg("%s", err.text);
    return t;
}

static const struct {
    const char *name;
    struct tokenizer *(*open)(enum declared as);
} kinds[] = {{"tokenizer.model BPE", open_spm_bpe}, {"tokenizer.model unigram", open_spm_unigram},
    {"GGUF llama", open_gguf_llama}, {"GGUF t5", open_gguf_t5}, {"GGUF gpt2", open_gguf_bpe},
    {"tokenizer.json byte-level", open_json_byte_level}, {"tokenizer.json byte fallback", open_json_fallback},
    {"tokenizer.json unigram", open_json_unigram}, {"vocab.json", open_vocab}};

/* ---- the tests ---- */

static size_t controls_in(const struct tokenizer *t, const struct tokens *ids)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->used; i++)
        n += tokenizer_kind(t, ids->ids[i]) == TOKEN_CONTROL;
    return n;
}

/* Alone, inside other text, and with white space around. */
static void check_text(const struct tokenizer *t, const char *kind, const char *mark)
{
    static const char *const around[][2] = {{"", ""}, {"a", "b"}, {" ", "\n"}, {"<", ">"}};
    int32_t id = tokenizer_find(t, mark, strlen(mark));
    if (tokenizer_kind(t, id) != TOKEN_CONTROL)
        fail_msg("%s: \"%s\" (id %d) is not a control token", kind, mark, id);
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        static const unsigned flags[] = {0, TOKENIZE_CONTINUE, TOKENIZE_BEHIND, TOKENIZE_SPECIAL};
        char text[80];
        snprintf(text, sizeof text, "%s%s%s", around[i][0], mark, around[i][1]);
        for (size_t k = 0; k < 4; k++) {
            struct tokens ids = {0};
            assert_int_equal(tokenizer_encode(t, text, strlen(text), flags[k], &ids, NULL), 0);
            size_t found = controls_in(t, &ids), asked = flags[k] == TOKENIZE_SPECIAL;
            if (found != asked)
                fail_msg("%s: \"%s\" with flags %u: %zu control tokens", kind, text, flags[k], found);
            tokens_release(&ids);
        }
    }
}

/* Renders a message; the number of control tokens. */
static size_t controls_of(const struct tokenizer *t, const struct chat_format *f, const char *content)
{
    const struct chat_message said[] = {{.role = "user", .content = content},
        {.role = "assistant", .content = content}, {.role = "user", .content = content}};
    const struct chat_request r = {.messages = said, .n_messages = 3, .add_generation_prompt = true};
    struct tokens ids = {0};
    struct error err = {0};
    if (chat_render(f, t, &r, &ids, &err) != 0)
        fail_msg("%s", err.text);
    size_t n = controls_in(t, &ids);
    assert_true(ids.used > 3);
    tokens_release(&ids);
    return n;
}

static void words_stay_words(void **state)
{
    (void)state;
    collect_marks();
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (int as = 0; as < DECLARED; as++) {
            struct tokenizer *t = kinds[k].open((enum declared)as);
            for (int i = 0; i < mark_count; i++)
                check_text(t, kinds[k].name, marks[i]);
            for (int f = 0; chat_formats[f]; f++) {
                size_t usual = controls_of(t, chat_formats[f], "ab");
                for (int i = 0; i < mark_count; i++) {
                    size_t found = controls_of(t, chat_formats[f], marks[i]);
                    if (found != usual)
                        fail_msg("%s, %s: \"%s\" makes %zu control tokens of %zu", kinds[k].name,
                            chat_formats[f]->name, marks[i], found, usual);
                }
            }
            tokenizer_close(t);
        }
}

/* Published models give their marks any kind; decoding leaves special ones out. */
static void marks_are_hidden(void **state)
{
    (void)state;
    struct tokenizer *t = open_spm_bpe(AS_USER);
    const int32_t ids[] = {'a', tokenizer_find(t, "<start_of_turn>", 15), 'b'};
    struct buffer text = {0};
    assert_int_equal(tokenizer_decode(t, ids, 3, false, &text, NULL), 0);
    assert_int_equal(text.used, 2);
    assert_memory_equal(text.data, "ab", 2);
    buffer_release(&text);
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_stay_words), cmocka_unit_test(marks_are_hidden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
