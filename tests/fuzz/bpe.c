/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenize.h"

#include "text/bpe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A vocabulary of all bytes and of some joined ones, as ranks; the pattern by number. Never closed: one for a run. */
static struct tokenizer *tokenizer_of(int which)
{
    static const char *const patterns[] = { "gpt2", "cl100k", "llama3", "qwen2", "qwen35", "o200k", "tekken" };
    static const char *const joined[] = {"th", "he", "the", " t", " the", "aa", "aaaa", "\xd8\xa7", "\xd9\x84",
        "\xd8\xa7\xd9\x84", "\xe4\xb8", "\xe4\xb8\xad", "\n\n", "  ", "    ", "'s", "\xf0\x9f", "\xf0\x9f\x98", "12",
        "123"};
    static struct tokenizer *made[7];
    struct bpe_options options = { .by_rank = true, .whole_first = true, .unknown = -1 };
    if (made[which])
        return made[which];
    struct tokenizer *t;
    assert(tokenizer_new(&t, NULL) == 0);
    for (int i = 0; i < 256; i++)
        assert(vocab_put(&t->vocab, i, &(char) { (char)i }, 1, TOKEN_NORMAL, NULL) == 0);
    for (int i = 0; i < 20; i++)
        assert(vocab_put(&t->vocab, 256 + i, joined[i], strlen(joined[i]), TOKEN_NORMAL, NULL) == 0);
    assert(vocab_index(&t->vocab, NULL) == 0 && bpe_new(t, &options, 0, NULL) == 0);
    assert(pretoken_new_named(&t->pretoken, patterns[which], NULL) == 0);
    assert(add_special(t, 300, "<|end|>", NULL) == 0 && tokenizer_finish(t, NULL) == 0);
    made[which] = t;
    return t;
}

struct ends {
    size_t at[4096], used;
    const char *text;
};

static int note_end(void *context, const char *piece, size_t n, struct error *err)
{
    struct ends *e = context;
    (void)err;
    if (e->used < 4096)
        e->at[e->used++] = (size_t)(piece - e->text) + n;
    return 0;
}

/* Pieces are not empty, follow each other, and end where the text ends. */
static void check_pieces(const struct tokenizer *t, const char *text, size_t n)
{
    static struct ends e;
    struct scratch s = { 0 };
    e.used = 0;
    e.text = text;
    assert(pretoken_run(t->pretoken, &s, text, n, PLACE_FIRST, note_end, &e, NULL) == 0);
    for (size_t i = 0; i < e.used; i++)
        assert(e.at[i] > (i ? e.at[i - 1] : 0) && e.at[i] <= n);
    assert(n == 0 || e.used == 4096 || (e.used && e.at[e.used - 1] == n));
}

/* Any bytes at all come back from their tokens. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct tokenizer *t = tokenizer_of(data[0] % 7);
    const char *text = (const char *)data + 1;
    check_pieces(t, text, size - 1);
    put_through(t, text, size - 1, data[0] & 128 ? TOKENIZE_SPECIAL : 0, true);
    return 0;
}
