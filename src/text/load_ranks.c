/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"
#include "text/bpe.h"
#include "text/load.h"

#include <stdio.h>
#include <string.h>

struct special {
    const char *text;
    int32_t id;
};

/* What a rank file does not hold: its pattern, its special tokens. Sources: openai/tiktoken (tiktoken_ext), openai
 * harmony, meta-llama/llama-models (models/llama3/tokenizer.py). */
struct preset {
    const char *name, *pattern;
    int32_t ranks; /* how many its file has; 0: as the preset before it, only by name */
    struct special special[20];
    const char *reserved; /* with the id - reserved_minus and "|>": the ids from reserved_from to reserved_to unnamed */
    int32_t reserved_from, reserved_to, reserved_minus;
    const char *role[TOKEN_ROLE_COUNT];
    bool adds_bos;
};

static const struct preset presets[] = {
    { .name = "gpt2", .pattern = "gpt2", .ranks = 50256, .special = { { "<|endoftext|>", 50256 } },
        .role = { [TOKEN_BOS] = "<|endoftext|>", [TOKEN_EOS] = "<|endoftext|>" } },
    { .name = "cl100k", .pattern = "cl100k", .ranks = 100256,
        .special = { { "<|endoftext|>", 100257 }, { "<|fim_prefix|>", 100258 }, { "<|fim_middle|>", 100259 },
            { "<|fim_suffix|>", 100260 }, { "<|endofprompt|>", 100276 } },
        .role = { [TOKEN_EOS] = "<|endoftext|>" } },
    { .name = "o200k", .pattern = "o200k", .ranks = 199998,
        .special = { { "<|endoftext|>", 199999 }, { "<|endofprompt|>", 200018 } },
        .role = { [TOKEN_EOS] = "<|endoftext|>" } },
    { .name = "o200k_harmony", .pattern = "o200k",
        .special = { { "<|startoftext|>", 199998 }, { "<|endoftext|>", 199999 }, { "<|return|>", 200002 },
            { "<|constrain|>", 200003 }, { "<|channel|>", 200005 }, { "<|start|>", 200006 }, { "<|end|>", 200007 },
            { "<|message|>", 200008 }, { "<|call|>", 200012 }, { "<|endofprompt|>", 200018 } },
        .reserved = "<|reserved_", .reserved_from = 200000, .reserved_to = 201087,
        .role = { [TOKEN_BOS] = "<|startoftext|>", [TOKEN_EOS] = "<|return|>", [TOKEN_PAD] = "<|endoftext|>" } },
    { .name = "llama3", .pattern = "llama3", .ranks = 128000,
        .special = { { "<|begin_of_text|>", 128000 }, { "<|end_of_text|>", 128001 },
            { "<|reserved_special_token_0|>", 128002 }, { "<|reserved_special_token_1|>", 128003 },
            { "<|finetune_right_pad_id|>", 128004 }, { "<|step_id|>", 128005 }, { "<|start_header_id|>", 128006 },
            { "<|end_header_id|>", 128007 }, { "<|eom_id|>", 128008 }, { "<|eot_id|>", 128009 },
            { "<|python_tag|>", 128010 }, { "<|image|>", 128011 } },
        .reserved = "<|reserved_special_token_", .reserved_from = 128012, .reserved_to = 128255,
        .reserved_minus = 128010,
        .role = { [TOKEN_BOS] = "<|begin_of_text|>", [TOKEN_EOS] = "<|end_of_text|>", [TOKEN_EOT] = "<|eot_id|>",
            [TOKEN_PAD] = "<|finetune_right_pad_id|>" },
        .adds_bos = true },
};

#define PRESETS (sizeof presets / sizeof presets[0])

/* One line: "base64 rank". Moves *at behind it. Returns 1 for a token, 0 for an empty line, -1 else. */
static int read_line(const char *data, size_t n, size_t *at, char *piece, size_t *piece_n, int64_t *rank)
{
    const char *line = data + *at, *newline = memchr(line, '\n', n - *at);
    size_t length = newline ? (size_t)(newline - line) : n - *at;
    *at += length + 1;
    if (length && line[length - 1] == '\r')
        length--;
    if (length == 0)
        return 0;
    const char *space = memchr(line, ' ', length);
    size_t text = space ? (size_t)(space - line) : 0, digits = length - text - 1;
    if (text == 0 || text > PIECE_BYTES_MAX || digits == 0 || digits > 9)
        return -1;
    ptrdiff_t bytes = base64_decode(piece, line, text);
    *rank = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = space[1 + i];
        if (c < '0' || c > '9')
            return -1;
        *rank = *rank * 10 + (c - '0');
    }
    *piece_n = bytes > 0 ? (size_t)bytes : 0;
    return bytes > 0 ? 1 : -1;
}

bool ranks_recognize(const char *data, size_t n)
{
    char piece[BASE64_BYTES(PIECE_BYTES_MAX)];
    size_t at = 0, piece_n;
    int64_t rank;
    return n && read_line(data, n, &at, piece, &piece_n, &rank) == 1;
}

static int read_ranks(struct tokenizer *t, const char *data, size_t n, int32_t *count, struct error *err)
{
    char piece[BASE64_BYTES(PIECE_BYTES_MAX)];
    size_t piece_n, line = 0;
    int64_t rank;
    int rc = vocab_reserve(&t->vocab, (int64_t)(n / 24 < VOCAB_SIZE_MAX ? n / 24 + 1 : VOCAB_SIZE_MAX), err);
    *count = 0;
    for (size_t at = 0; rc == 0 && at < n;) {
        int found = read_line(data, n, &at, piece, &piece_n, &rank);
        line++;
        if (found < 0 || (found && rank > (int64_t)n))
            return error_set(err, ERROR_FORMAT, "line %zu is not \"base64 rank\"", line);
        if (found && rank < t->vocab.size && t->vocab.length[rank])
            return error_set(err, ERROR_FORMAT, "line %zu: rank %lld occurs twice", line, (long long)rank);
        if (found) {
            rc = vocab_put(&t->vocab, rank, piece, piece_n, TOKEN_NORMAL, err);
            (*count)++;
        }
    }
    return rc;
}

static const struct preset *find_preset(const char *name, const char *file, int32_t count)
{
    for (size_t i = 0; name && i < PRESETS; i++)
        if (strcmp(name, presets[i].name) == 0)
            return &presets[i];
    for (size_t i = PRESETS; !name && i-- > 0;) /* from the end: "o200k_harmony" also holds "o200k" */
        if ((presets[i].ranks == count || !presets[i].ranks) && strstr(file, presets[i].name))
            return &presets[i];
    for (size_t i = 0; !name && i < PRESETS; i++)
        if (presets[i].ranks == count)
            return &presets[i];
    return NULL;
}

static int add_specials(struct tokenizer *t, const struct preset *p, struct error *err)
{
    char text[64];
    int rc = 0;
    for (const struct special *s = p->special; rc == 0 && s->text; s++)
        rc = add_special(t, s->id, s->text, err);
    for (int32_t id = p->reserved_from; rc == 0 && p->reserved && id <= p->reserved_to; id++) {
        bool named = false;
        for (const struct special *s = p->special; s->text; s++)
            named |= s->id == id;
        snprintf(text, sizeof text, "%s%d|>", p->reserved, id - p->reserved_minus);
        rc = named ? 0 : add_special(t, id, text, err);
    }
    for (int role = 0; rc == 0 && role < TOKEN_ROLE_COUNT; role++) {
        const struct added_token *token = p->role[role] ? added_find(&t->added, p->role[role], strlen(p->role[role]))
                                                        : NULL;
        t->role[role] = token ? token->id : -1;
    }
    if (p->adds_bos)
        tokens_add(&t->front, t->role[TOKEN_BOS]);
    return rc ? rc : tokens_check(&t->front, err);
}

int load_ranks(struct tokenizer *t, const char *data, size_t n, const char *preset, const char *name,
    struct error *err)
{
    struct bpe_options options = { .by_rank = true, .whole_first = true, .unknown = -1 };
    int32_t count;
    int rc = read_ranks(t, data, n, &count, err);
    if (rc)
        return rc;
    const struct preset *p = find_preset(preset, name, count);
    if (!p && preset)
        return error_set(err, ERROR_USAGE, "no preset \"%s\": gpt2, cl100k, o200k, o200k_harmony, llama3", preset);
    if (!p)
        return error_set(err, ERROR_UNSUPPORTED,
            "%d ranks fit no known vocabulary: name one of the presets gpt2, cl100k, "
            "o200k, o200k_harmony, llama3",
            count);
    rc = pretoken_new_named(&t->pretoken, p->pattern, err);
    if (rc == 0)
        rc = vocab_index(&t->vocab, err);
    if (rc == 0)
        rc = bpe_new(t, &options, 0, err);
    return rc ? rc : add_specials(t, p, err);
}
