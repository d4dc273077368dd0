/* SPDX-License-Identifier: Apache-2.0 */
/* What happens when the system says no: for n = 1, 2, ... the n-th request for memory, mapping, file or folder fails.
 * Whatever is being opened must return an error that says so, and give everything back.
 *
 * To put another thing under test, write `static int try_THING(struct error *err)`, which opens it, closes it and
 * returns its code, and add a line to `tries`. It runs some hundred times: give it the smallest input that has it all.
 *
 * The linker sends the calls of wazn (and, through its allocation hooks, jansson's) to refusals.c. */
#include "refusals.h"
#include "support.h"

#include "failure_publish.h"
#include "failure_train.h"

#include "base/cpu.h"
#include "base/filemap.h"
#include "base/utf8.h"
#include "cli/calls.h"
#include "cli/tools.h"
#include "file/gguf.h"
#include "file/safetensors.h"
#include "file/source.h"
#include "infer/batch.h"
#include "infer/generate.h"
#include "infer/session.h"
#include "kernel/kernel.h"
#include "make_gguf.h"
#include "model/adapter.h"
#include "model/model.h"
#include "model/train_pass.h"
#include "small_spm.h"
#include "text/bpe_train.h"
#include "text/chat/chat.h"
#include "text/tokenizer.h"
#include "train/reward.h"
#include "train/rollout.h"

#include <wazn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- what is opened -- */

static const char *root; /* holds the inputs below */

static int try_source(const char *name, struct error *err)
{
    struct source *s;
    int rc = source_open(&s, test_join(root, name), NULL, NULL, err);
    source_close(s);
    return rc;
}

static int try_folder(struct error *err)
{
    return try_source("folder", err);
}

static int try_learning(struct error *err)
{
    const char *specials[] = { "<|endoftext|>", "\xe2\x96\x81" };
    const struct bpe_training_options options = { .pattern = "gpt2", .vocabulary = 270, .digits_apart = true,
        .space = true, .specials = specials, .n_specials = 2, .threads = 2 };
    static const char text[] = "a text of some words, and some of the words again, 12 times";
    struct bpe_training_report report;
    struct bpe_training *b;
    struct tokenizer *t = NULL;
    int rc = bpe_training_open(&b, &options, err);
    if (rc == 0)
        rc = bpe_training_add(b, text, sizeof text - 1, err);
    if (rc == 0)
        rc = bpe_training_finish(&t, &report, b, err);
    bpe_training_close(b);
    tokenizer_close(t);
    return rc;
}

static int try_shards(struct error *err)
{
    return try_source("shards", err);
}

static int try_gguf_parts(struct error *err)
{
    return try_source("gguf", err);
}

static int try_llama2c(struct error *err)
{
    return try_source("model.bin", err);
}

static int try_cache(struct error *err)
{
    struct source *s;
    int rc = source_open(&s, "org/name", root, NULL, err);
    source_close(s);
    return rc;
}

static int try_gguf(struct error *err)
{
    struct gguf *g;
    int rc = gguf_open(&g, test_join(root, "gguf/m-00001-of-00002.gguf"), NULL, err);
    gguf_close(g);
    return rc;
}

/* Not a file more or less than before when it fails. */
static int try_write(struct error *err)
{
    static const float numbers[4] = { 1, 2, 3, 4 };
    const struct file_tensor t[] = { { "logits", "F32", NULL, 2, { 2, 2 }, numbers, 16 },
        { "b", "F32", NULL, 1, { 2 }, numbers, 8 } };
    char path[4096], beside[4200];
    snprintf(path, sizeof path, "%s/out.safetensors", root);
    snprintf(beside, sizeof beside, "%s/out.%ld.part.safetensors", root, (long)getpid());
    int rc = safetensors_write(path, t, 2, NULL, err);
    assert_true(file_exists(path) == (rc == 0));
    assert_false(file_exists(beside));
    remove(path);
    return rc;
}

static int try_training(struct error *err)
{
    const struct train_options options = { .tokens_max = 3, .texts_max = 1, .logits_max = 2, .threads = 2 };
    const int32_t ids[] = { 1, 2, 3 }, targets[] = { 2, 3, TRAIN_SKIP };
    const struct train_text text = { ids, targets, 3 };
    struct source *s = NULL;
    struct model *m = NULL;
    struct train_pass *pass = NULL;
    double loss;
    int rc = source_open(&s, test_join(root, "model.bin"), NULL, NULL, err);
    if (rc == 0)
        rc = model_open(&m, s, NULL, err);
    if (rc == 0)
        rc = train_pass_open(&pass, m, &options, err);
    if (rc == 0) {
        long calls = refusals.calls;
        rc = train_pass_run(pass, &text, 1, 0, &loss, err);
        assert_int_equal(refusals.calls, calls);
    }
    train_pass_close(pass);
    model_close(m);
    source_close(s);
    return rc;
}

/* Made, written, read again, attached, trained; not a folder more or less than before when it fails. */
static int try_adapter(struct error *err)
{
    const struct adapter_options made = { .rank = 2, .alpha = 2, .targets = "q,down", .magnitude = true };
    char folder[4096];
    struct source *s = NULL;
    struct model *m = NULL;
    struct adapter *a = NULL, *b = NULL;
    struct train_pass *pass = NULL;
    snprintf(folder, sizeof folder, "%s", test_join(root, "adapter"));
    int rc = source_open(&s, test_join(root, "model.bin"), NULL, NULL, err);
    if (rc == 0)
        rc = model_open(&m, s, NULL, err);
    if (rc == 0)
        rc = adapter_new(&a, m, source_config(s), &made, 2, err);
    if (rc == 0) {
        rc = adapter_save(a, folder, "base", err);
        assert_true(file_exists(folder) == (rc == 0));
    }
    if (rc == 0)
        rc = adapter_open(&b, m, folder, err);
    if (rc == 0)
        rc = adapter_attach(b, m, 1, 2, err);
    const struct train_options options = { .tokens_max = 3, .texts_max = 1, .logits_max = 2, .threads = 2,
        .adapter = b };
    if (rc == 0)
        rc = train_pass_open(&pass, m, &options, err);
    train_pass_close(pass);
    adapter_close(b);
    adapter_close(a);
    model_close(m);
    source_close(s);
    char path[4200];
    const char *const names[] = { "adapter_config.json", "adapter_model.safetensors" };
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
    rmdir(folder);
    return rc;
}

static int try_rollout(struct error *err)
{
    struct rollout_options options = { .prompts_max = 1, .group = 2, .sequences = 2, .prompt_max = 2, .tokens_max = 2,
        .threads = 2 };
    const int32_t ids[] = { 1, 2 };
    const struct rollout_prompt prompt = { ids, 2 };
    const struct completion *completions;
    struct source *s = NULL;
    struct model *m = NULL;
    struct rollout *r = NULL;
    int rc = source_open(&s, test_join(root, "model.bin"), NULL, NULL, err);
    if (rc == 0)
        rc = sampling_init(&options.sampling, NULL, true, err);
    if (rc == 0)
        rc = model_open(&m, s, NULL, err);
    if (rc == 0)
        rc = rollout_open(&r, m, &options, err);
    if (rc == 0) {
        long calls = refusals.calls;
        rc = rollout_run(r, &prompt, 1, 1, NULL, &completions, err);
        assert_int_equal(refusals.calls, calls);
    }
    rollout_close(r);
    model_close(m);
    source_close(s);
    return rc;
}

static int try_reward(struct error *err)
{
    static const char spec[] = "[{\"kind\": \"regex\", \"pattern\": \"a+\"}, {\"kind\": \"json\"}, "
                               "{\"kind\": \"format\"}, {\"kind\": \"command\", \"argv\": [\"true\"]}]";
    struct reward *r;
    int rc = reward_open(&r, spec, sizeof spec - 1, err);
    reward_close(r);
    return rc;
}

static int try_session(struct error *err)
{
    const struct session_options options = { .context = 4, .threads = 1 };
    const struct batch_options several = { .kv_format = &format_f32, .sequences = 2, .context = 2, .threads = 1 };
    const int32_t ids[] = { 1, 2, 3 };
    struct source *s = NULL;
    struct model *m = NULL;
    struct session *session = NULL;
    struct batch *batch = NULL;
    int rc = source_open(&s, test_join(root, "model.bin"), NULL, NULL, err);
    if (rc == 0)
        rc = model_open(&m, s, NULL, err);
    if (rc == 0)
        rc = session_open(&session, m, &options, err);
    if (rc == 0)
        rc = batch_open(&batch, m, &several, err);
    if (rc == 0) {
        /* after opening nothing asks for memory */
        long calls = refusals.calls;
        rc = session_sync(session, ids, 3, NULL, err);
        if (rc == 0)
            rc = batch_push(batch, ids, err);
        assert_int_equal(refusals.calls, calls);
    }
    batch_close(batch);
    session_close(session);
    model_close(m);
    source_close(s);
    return rc;
}

static int try_tokenizer_json(struct error *err)
{
    struct tokenizer *t;
    struct buffer text = { 0 };
    const int32_t ids[] = { 0, 2, 3 };
    int rc = tokenizer_open(&t, test_join(root, "tokenizer.json"), NULL, err);
    if (rc == 0)
        rc = tokenizer_decode(t, ids, 3, true, &text, err);
    buffer_release(&text);
    tokenizer_close(t);
    return rc;
}

static int try_tokenizer(const char *path, const char *preset, struct error *err)
{
    struct tokenizer *t;
    struct tokens ids = { 0 };
    int rc = tokenizer_open(&t, test_join(root, path), preset, err);
    if (rc == 0)
        rc = tokenizer_encode(t, "abba", 4, TOKENIZE_SPECIAL, &ids, err);
    tokens_release(&ids);
    tokenizer_close(t);
    return rc;
}

static int try_ranks(struct error *err)
{
    return try_tokenizer("small.tiktoken", "gpt2", err);
}

static int try_vocab_merges(struct error *err)
{
    return try_tokenizer("vocabulary", "qwen2", err);
}

static int try_tekken(struct error *err)
{
    return try_tokenizer("tekken.json", NULL, err);
}

static int try_tokenizer_gguf(struct error *err)
{
    struct source *s = NULL;
    struct tokenizer *t = NULL;
    struct tokens ids = { 0 };
    int rc = source_open(&s, test_join(root, "vocabulary.gguf"), NULL, NULL, err);
    if (rc == 0)
        rc = tokenizer_open_source(&t, s, err);
    if (rc == 0)
        rc = tokenizer_encode(t, "abba", 4, TOKENIZE_BOS, &ids, err);
    tokens_release(&ids);
    tokenizer_close(t);
    source_close(s);
    return rc;
}

/* Open, and there and back. */
static int try_text(const char *name, struct error *err)
{
    struct tokenizer *t;
    struct tokens ids = { 0 };
    struct buffer text = { 0 };
    int rc = tokenizer_open(&t, test_join(root, name), NULL, err);
    if (rc == 0)
        rc = tokenizer_encode(t, "a ba<s>", 7, TOKENIZE_DEFAULT, &ids, err);
    if (rc == 0)
        rc = tokenizer_decode(t, ids.ids, ids.used, true, &text, err);
    buffer_release(&text);
    tokens_release(&ids);
    tokenizer_close(t);
    return rc;
}

static int try_tokenizer_model(struct error *err)
{
    return try_text("tokenizer.model", err);
}

static int try_tokenizer_unigram(struct error *err)
{
    return try_text("unigram.model", err);
}

static int try_gguf_llama(struct error *err)
{
    return try_text("llama.gguf", err);
}

static int ignore_token(void *context, int32_t id, struct error *err)
{
    (void)context, (void)id, (void)err;
    return 0;
}

static int try_generate(struct error *err)
{
    const struct session_options options = { .context = 4, .threads = 1 };
    const struct generate_options limits = { .max_tokens = 2 };
    const int32_t ids[] = { 1, 2 };
    struct source *s = NULL;
    struct model *m = NULL;
    struct session *session = NULL;
    struct sampler *sampler = NULL;
    struct sampling sampling;
    struct generation g = { .tokens = 0 };
    int rc = sampling_init(&sampling, NULL, false, err);
    if (rc == 0)
        rc = source_open(&s, test_join(root, "model.bin"), NULL, NULL, err);
    if (rc == 0)
        rc = model_open(&m, s, NULL, err);
    if (rc == 0)
        rc = session_open(&session, m, &options, err);
    if (rc == 0)
        rc = sampler_open(&sampler, &sampling, 5, err);
    if (rc == 0) {
        long calls = refusals.calls;
        rc = session_sync(session, ids, 2, NULL, err);
        if (rc == 0)
            rc = generate(session, sampler, &limits, ignore_token, NULL, &g, err);
        assert_int_equal(g.tokens, 2);
        assert_int_equal(refusals.calls, calls);
    }
    sampler_close(sampler);
    session_close(session);
    model_close(m);
    source_close(s);
    return rc;
}

static int ignore_text(void *context, const char *text, size_t length)
{
    (void)context, (void)text, (void)length;
    return 0;
}

/* A call, up to where it would run. */
static int try_tools(struct error *err)
{
    static const char text[] = "{\"name\": \"date_and_time\", \"arguments\": {\"day\": \"-1 day\"}, \"id\": \"1\"}";
    struct tools *t = NULL;
    struct calls calls = { 0 };
    const struct tool *tool;
    json_t *arguments = NULL;
    struct buffer shown = { 0 };
    int rc = tools_open(&t, test_repo("examples/tools.json"), err);
    if (rc == 0)
        rc = calls_read(&calls, "", text, strlen(text), err);
    if (rc == 0)
        rc = tools_find(&tool, t, calls.at[0].name, err);
    if (rc == 0)
        rc = tool_arguments_new(&arguments, tool, calls.at[0].arguments, strlen(calls.at[0].arguments), err);
    if (rc == 0)
        rc = tool_describe(&shown, tool, arguments, err);
    buffer_release(&shown);
    json_decref(arguments);
    calls_release(&calls);
    tools_close(t);
    return rc;
}

static int try_public(struct error *err)
{
    const struct wazn_model_options options = { .tokenizer = test_join(root, "tokenizer.model"),
        .chat_format = "plain" };
    const struct wazn_session_options limits = { .threads = 1, .max_tokens = 1, .temperature = -1 };
    struct wazn_model *m;
    struct wazn_session *s = NULL;
    struct wazn_error e = { 0 };
    int rc = wazn_model_open(&m, test_join(root, "model.bin"), &options, &e);
    if (rc == 0)
        rc = wazn_session_open(&s, m, &limits, &e);
    if (rc == 0)
        rc = wazn_session_generate(s, "a", ignore_text, NULL, &e);
    if (rc == 0)
        rc = wazn_session_chat(s, "a", ignore_text, NULL, &e);
    wazn_session_close(s);
    wazn_model_close(m);
    return rc ? error_set(err, e.code, "%s", e.text) : 0;
}

/* -- conversations: what is rendered, and with what, is made before -- */

static struct {
    const struct chat_format *format;
    const struct tokenizer *tokenizer;
    struct chat_request request;
} talk;

static int try_render(struct error *err)
{
    struct tokens ids = { 0 };
    int rc = chat_render(talk.format, talk.tokenizer, &talk.request, &ids, err);
    if (rc == 0)
        rc = chat_stops(talk.format, talk.tokenizer, &ids, err);
    tokens_release(&ids);
    return rc;
}

static void ignore_piece(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    (void)context, (void)channel, (void)bytes, (void)n;
}

static int try_reply(struct error *err)
{
    static const char reply[] = "<think>hm</think> yes <tool_call>{}</tool_call>\xc3";
    struct chat_parser p;
    int rc = 0;
    chat_parser_init(&p, talk.format, talk.tokenizer, ignore_piece, NULL);
    for (size_t i = 0; rc == 0 && i < sizeof reply - 1; i++)
        rc = chat_parser_push(&p, (unsigned char)reply[i], err);
    if (rc == 0)
        rc = chat_parser_end(&p, err);
    chat_parser_release(&p);
    return rc;
}

static const struct attempt {
    const char *name;
    int (*run)(struct error *err);
} tries[] = {
    { "a folder with companions", try_folder },
    { "shards", try_shards },
    { "a GGUF in two parts", try_gguf_parts },
    { "GGUF metadata alone", try_gguf },
    { "a llama2.c checkpoint", try_llama2c },
    { "the Hugging Face cache", try_cache },
    { "writing safetensors", try_write },
    { "a model and its session", try_session },
    { "a model and its training pass", try_training },
    { "an adapter", try_adapter },
    { "a model and its rollouts", try_rollout },
    { "a run of training", failure_train },
    { "rewards", try_reward },
    { "a tokenizer inside a GGUF", try_tokenizer_gguf },
    { "a tokenizer.json", try_tokenizer_json },
    { "tiktoken ranks", try_ranks },
    { "vocab.json with merges.txt", try_vocab_merges },
    { "a tekken.json", try_tekken },
    { "a tokenizer.model", try_tokenizer_model },
    { "a tokenizer.model of unigram", try_tokenizer_unigram },
    { "a GGUF vocabulary \"llama\"", try_gguf_llama },
    { "a sampler and a reply", try_generate },
    { "a call of a tool", try_tools },
    { "the public interface", try_public },
    { "a model written as GGUF", failure_gguf },
    { "a model written as a folder", failure_folder },
    { "writing a vocabulary of SentencePiece", failure_spm },
    { "writing a vocabulary of unigram", failure_unigram },
    { "writing a byte-level vocabulary", failure_byte_level },
    { "learning a vocabulary", try_learning },
};

/* -- inputs -- */

static void put(const char *name, const void *data, size_t size)
{
    test_write(test_join(root, name), data, size);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static void put_folder(const char *name)
{
    assert_int_equal(mkdir(test_join(root, name), 0755), 0);
}

static void put_weights(const char *path, const char *name, const char *other)
{
    static const float numbers[4];
    const struct file_tensor t[] = { { name, "F32", NULL, 1, { 4 }, numbers, 16 },
        { other, "U8", NULL, 1, { 1 }, numbers, 1 } };
    assert_int_equal(safetensors_write(test_join(root, path), t, 2, NULL, NULL), 0);
}

static void put_part(const char *name, int number)
{
    struct make_gguf m = { 0 };
    struct buffer b = { 0 };
    make_whole(&m, "split.no", GGUF_UINT16, number);
    make_whole(&m, "split.count", GGUF_UINT16, 2);
    if (number == 0) {
        make_text(&m, "general.architecture", "gemma3");
        make_text(&m, "tokenizer.chat_template", "{{ messages }}");
        make_whole(&m, "gemma3.block_count", GGUF_UINT32, 3);
        make_whole(&m, "gemma3.attention.sliding_window", GGUF_UINT32, 8);
        make_text(&m, "gemma3.rope.scaling.type", "yarn");
        make_whole(&m, "tokenizer.ggml.eos_token_id", GGUF_UINT32, 2);
        make_array(&m, "gemma3.attention.head_count", GGUF_UINT8, 3);
        make_number(&m.keys, 0x040302, 3);
    }
    make_f32(&m, number ? "a" : "b", 1, (uint64_t[]) { 8 });
    make_gguf_end(&m, &b);
    put(name, b.data, b.used);
    buffer_release(&b);
}

/* The characters that stand for bytes in byte-level BPE: printable Latin-1 for itself, the rest from 256 up. */
static void make_byte_pieces(struct buffer *keys)
{
    int32_t next = 256;
    for (int32_t byte = 0; byte < 256; byte++) {
        char piece[4];
        bool itself = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        make_string(keys, piece, (size_t)utf8_encode(piece, itself ? byte : next++));
    }
}

static void put_vocabulary(void)
{
    struct make_gguf m = { 0 };
    struct buffer b = { 0 };
    make_text(&m, "general.architecture", "gpt2");
    make_text(&m, "tokenizer.ggml.model", "gpt2");
    make_text(&m, "tokenizer.ggml.pre", "gpt-2");
    make_array(&m, "tokenizer.ggml.tokens", GGUF_STRING, 258);
    make_byte_pieces(&m.keys);
    make_string(&m.keys, "ab", 2);
    make_string(&m.keys, "<s>", 3);
    make_array(&m, "tokenizer.ggml.token_type", GGUF_INT32, 258);
    for (int i = 0; i < 258; i++)
        make_number(&m.keys, i < 257 ? 1 : 3, 4);
    make_array(&m, "tokenizer.ggml.merges", GGUF_STRING, 1);
    make_string(&m.keys, "a b", 3);
    make_whole(&m, "tokenizer.ggml.bos_token_id", GGUF_UINT32, 257);
    make_gguf_end(&m, &b);
    put("vocabulary.gguf", b.data, b.used);
    buffer_release(&b);
}

static void put_byte_level_files(void)
{
    put_text("small.tiktoken", "YQ== 0\nYg== 1\nYWI= 2\n");
    put_folder("vocabulary");
    put_text("vocabulary/vocab.json", "{\"a\":0,\"b\":1,\"ab\":2}");
    put_text("vocabulary/merges.txt", "#version: 0.2\na b\n");
    put_text("vocabulary/tokenizer_config.json", "{\"eos_token\":\"<e>\",\"added_tokens_decoder\":{\"3\":{\"content\":"
        "\"<e>\",\"special\":true}}}");
    put_text("tekken.json", "{\"config\":{\"pattern\":\"[ab]+\",\"default_vocab_size\":5,"
        "\"default_num_special_tokens\":2},\"vocab\":[{\"rank\":0,\"token_bytes\":\"YQ==\"},{\"rank\":1,"
        "\"token_bytes\":\"Yg==\"},{\"rank\":2,\"token_bytes\":\"YWI=\"}]}");
}

/* <unk> <s> </s> a and the space: as many as model.bin has. */
static void put_sentencepiece(const char *name, enum small_spm_model type)
{
    struct buffer model = { 0 };
    const struct small_settings s = { .type = type, .bos = 1, .eos = 2, .pad = -1, .escape = true };
    small_piece(&model, "<unk>", 0, SPM_UNKNOWN);
    small_piece(&model, "<s>", 0, SPM_CONTROL);
    small_piece(&model, "</s>", 0, SPM_CONTROL);
    small_piece(&model, "a", -1, SPM_NORMAL);
    small_piece(&model, "\xe2\x96\x81", -2, SPM_NORMAL);
    small_settings(&model, &s);
    put(name, model.data, model.used);
    buffer_release(&model);
}

static void put_llama_vocabulary(void)
{
    static const char *const pieces[] = { "<unk>", "<s>", "</s>", "a", "\xe2\x96\x81", "<start_of_turn>" };
    static const int types[] = { 2, 3, 3, 1, 1, 4 };
    struct make_gguf m = { 0 };
    struct buffer b = { 0 };
    make_text(&m, "general.architecture", "llama");
    make_text(&m, "tokenizer.ggml.model", "llama");
    make_array(&m, "tokenizer.ggml.tokens", GGUF_STRING, 6);
    for (int i = 0; i < 6; i++)
        make_string(&m.keys, pieces[i], strlen(pieces[i]));
    make_array(&m, "tokenizer.ggml.token_type", GGUF_INT32, 6);
    for (int i = 0; i < 6; i++)
        make_number(&m.keys, (uint64_t)types[i], 4);
    make_array(&m, "tokenizer.ggml.scores", GGUF_FLOAT32, 6);
    for (int i = 0; i < 6; i++)
        make_number(&m.keys, 0, 4);
    make_gguf_end(&m, &b);
    put("llama.gguf", b.data, b.used);
    buffer_release(&b);
}

/* Width 8, hidden 4, 2 layers, 2 heads, 1 kv head, 5 tokens, 4 positions. */
static void put_llama2c(void)
{
    const int32_t header[7] = { 8, 4, 2, 2, 1, 5, 4 };
    static float file[7 + 40 + 2 * (8 + 64 + 32 + 32 + 64 + 8 + 96) + 8 + 16];
    memcpy(file, header, sizeof header);
    for (size_t i = 7; i < sizeof file / sizeof file[0]; i++)
        file[i] = (float)(i % 7) * 0.1f;
    put("model.bin", file, sizeof file);
}

static int put_inputs(void **state)
{
    (void)state;
    kernels_init(cpu_features());
    root = test_folder();
    put_folder("folder");
    put_weights("folder/weights.safetensors", "w", "aligned");
    put_text("folder/config.json", "{\"model_type\":\"llama\",\"rope_scaling\":null}");
    put_text("folder/generation_config.json", "{\"eos_token_id\":[1,2]}");
    put_text("folder/tokenizer_config.json", "{\"chat_template\":[{\"name\":\"default\",\"template\":\"x\"}]}");
    put_folder("shards");
    put_text("shards/config.json", "{}");
    put_text("shards/chat_template.jinja", "x");
    put_weights("shards/1.safetensors", "a", "b");
    put_weights("shards/2.safetensors", "c", "d");
    put_text("shards/model.safetensors.index.json", "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"1.safetensors\","
        "\"c\":\"2.safetensors\",\"d\":\"2.safetensors\"}}");
    put_folder("gguf");
    put_part("gguf/m-00001-of-00002.gguf", 0);
    put_part("gguf/m-00002-of-00002.gguf", 1);
    put_folder("out");
    failure_root = failure_train_root = root;
    assert_int_equal(mkdir(test_join(root, "run"), 0777), 0);
    put_llama2c();
    put_vocabulary();
    put_byte_level_files();
    put_sentencepiece("tokenizer.model", SPM_BPE);
    put_sentencepiece("unigram.model", SPM_UNIGRAM);
    put_llama_vocabulary();
    put_text("tokenizer.json", "{\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true}],"
        "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
        "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},"
        "\"merges\":[\"a b\"]}}");
    put_folder("models--org--name");
    put_folder("models--org--name/snapshots");
    put_folder("models--org--name/snapshots/abc");
    put_text("models--org--name/snapshots/abc/config.json", "{}");
    put_weights("models--org--name/snapshots/abc/model.safetensors", "w", "v");
    return 0;
}

/* -- the test -- */

/* Run once with the n-th request refused. True: it was reached. */
static bool attempt(const struct attempt *t, long n)
{
    struct error err = { 0 };
    refusals_begin(n);
    int rc = t->run(&err);
    refusals.armed = false;
    if (refusals.held || refusals.mapped || refusals.files)
        fail_msg("%s: request %ld refused: %ld blocks, %ld mappings, %ld files are still held", t->name, n,
            refusals.held, refusals.mapped, refusals.files);
    /* jansson reads on without a byte it had no memory for: to the end, or to what it takes for wrong grammar */
    bool reached = n > 0 && refusals.calls >= n, failed = rc != 0;
    if ((reached != failed && !refusals.in_jansson) || rc != err.code)
        fail_msg("%s: request %ld of %ld refused: code %d, \"%s\"", t->name, n, refusals.calls, rc, err.text);
    if (failed && rc != ERROR_MEMORY && rc != ERROR_IO && !refusals.in_jansson)
        fail_msg("%s: request %ld refused: code %d is another failure: \"%s\"", t->name, n, rc, err.text);
    return reached;
}

static void attempt_all(const struct attempt *t)
{
    long n = 1;
    attempt(t, 0);
    /* every one of the first thousand, then ever wider steps */
    while (attempt(t, n))
        n += 1 + n / 1000;
    print_message("%s: %ld requests\n", t->name, refusals.calls);
}

static void nothing_leaks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        attempt_all(&tries[i]);
        assert_true(refusals.calls > 3);
    }
}

/* Every format: a conversation, with tools where it takes them, and a reply. */
static void conversations_leak_nothing(void **state)
{
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
                                "\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]";
    static const struct chat_message said[] = { { .role = "user", .content = "u" },
        { .role = "assistant", .content = "a" }, { .role = "user", .content = "v" } };
    const char *names[66] = { "<s>", "</s>" };
    int n = 2;
    json_t *list;
    (void)state;
    for (int i = 0; n < 66 && (names[n] = chat_mark(i)); i++) {
        int k = 0;
        while (strcmp(names[k], names[n]) != 0)
            k++;
        n += k == n;
    }
    struct tokenizer *t = small_byte_tokenizer(names, n, "<s>", "</s>");
    assert_non_null(t);
    assert_int_equal(json_read_new(&list, tools, sizeof tools - 1, "tools", NULL), 0);
    for (int f = 0; chat_formats[f]; f++) {
        talk.format = chat_formats[f];
        talk.tokenizer = t;
        talk.request = (struct chat_request) { .messages = said, .n_messages = 3, .tools = list,
            .add_generation_prompt = true };
        if (try_render(NULL) == ERROR_USAGE)
            talk.request.tools = NULL;
        assert_int_equal(try_render(NULL), 0);
        attempt_all(&(const struct attempt) { talk.format->name, try_render });
        attempt_all(&(const struct attempt) { "its reply", try_reply });
    }
    json_decref(list);
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_leaks),
        cmocka_unit_test(conversations_leak_nothing),
    };
    json_set_alloc_funcs(refusals_jansson_malloc, free);
    return cmocka_run_group_tests(tests, put_inputs, NULL);
}
