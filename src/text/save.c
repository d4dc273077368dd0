/* SPDX-License-Identifier: Apache-2.0 */
#include "text/save_impl.h"

#include "text/bpe.h"
#include "text/pretoken_impl.h"
#include "text/spm_impl.h"

#include <stdlib.h>
#include <string.h>

bool save_is_byte_level(const struct tokenizer *t)
{
    return strncmp(t->model->name, "byte-level", 10) == 0;
}

bool save_is_unigram(const struct tokenizer *t)
{
    return t->model == &unigram_model;
}

static bool is_spm(const struct tokenizer *t)
{
    return t->model == &spm_bpe_model || t->model == &unigram_model;
}

/* Text after all steps of normalisation. */
static int normalized(const struct tokenizer *t, const char *text, struct buffer *out, struct error *err)
{
    struct buffer spare = { 0 };
    int rc = 0;
    buffer_add_text(out, text);
    for (int i = 0; rc == 0 && i < t->normalizer_count && out->used; i++) {
        struct buffer before = *out;
        *out = spare;
        spare = before;
        buffer_clear(out);
        rc = t->normalizers[i].run(&t->normalizers[i], spare.data, spare.used, PLACE_FIRST, out, err);
    }
    buffer_release(&spare);
    return rc ? rc : buffer_check(out, "a text", err);
}

/* Is step i, before the last one, ByteLevel's add_prefix_space? */
static bool has_space(const struct pretoken *p, int i)
{
    const struct pretoken_step *s = p && p->count == i + 2 ? &p->steps[i] : NULL;
    return s && s->kind == STEP_PREFIX && s->scheme == PREFIX_ALWAYS && !s->replace_spaces
        && strcmp(s->prefix, " ") == 0 && strcmp(pretoken_name(p), "gpt2") == 0;
}

int save_find_steps(const struct tokenizer *t, struct save_steps *out, struct error *err)
{
    const struct pretoken *p = t->pretoken;
    struct buffer text = { 0 };
    *out = (struct save_steps) { 0 };
    int rc = normalized(t, "e\xcc\x81", &text, err);
    if (rc == 0)
        out->nfc = text.used == 2 && memcmp(text.data, "\xc3\xa9", 2) == 0;
    buffer_clear(&text);
    if (rc == 0)
        rc = normalized(t, "a", &text, err);
    if (rc == 0)
        out->prefix = text.used > 1 && memcmp(text.data, SPM_SPACE, SPM_SPACE_BYTES) == 0;
    buffer_release(&text);
    const struct spm *m = is_spm(t) ? t->state : NULL;
    out->collapses = m && m->collapse_whitespace;
    out->rules = m && m->rules.count > 0;
    int first = 0;
    if (p && p->count > 1 && p->steps[0].kind == STEP_CHARACTER && !p->steps[0].whole_runs)
        first = 1; /* of all tests of single characters, files have digits */
    out->digits_apart = first == 1;
    first += out->space = has_space(p, first);
    if (p && p->count == first + 1 && p->steps[first].kind == STEP_KNOWN)
        out->pattern = p->name;
    return rc;
}

int save_kind(const struct tokenizer *t, int32_t id)
{
    static const int numbers[] = { [TOKEN_NORMAL] = 1, [TOKEN_UNKNOWN] = 2, [TOKEN_CONTROL] = 3, [TOKEN_USER] = 4,
        [TOKEN_UNUSED] = 5, [TOKEN_BYTE] = 6 };
    return numbers[tokenizer_kind(t, id)];
}

int save_scores_new(float **out, const struct tokenizer *t, struct error *err)
{
    struct bpe_merge *merges = NULL;
    size_t count = 0, n = (size_t)t->vocab.size;
    bool whole_first;
    int rc = 0;
    *out = calloc(n + 1, sizeof **out);
    if (!*out)
        return error_memory(err, n * sizeof **out, "scores");
    if (t->vocab.score)
        memcpy(*out, t->vocab.score, n * sizeof **out);
    if (!is_spm(t))
        rc = bpe_merges_new(&merges, &count, &whole_first, t, err);
    for (size_t i = count; i-- > 0;) { /* the first of a piece's merges tells its rank */
        char piece[2 * PIECE_BYTES_MAX];
        size_t left_n, right_n;
        const char *left = vocab_piece(&t->vocab, merges[i].left, &left_n);
        memcpy(piece, left, left_n);
        const char *right = vocab_piece(&t->vocab, merges[i].right, &right_n);
        memcpy(piece + left_n, right, right_n);
        int32_t id = vocab_find(&t->vocab, piece, left_n + right_n);
        if (id >= 0)
            (*out)[id] = -(float)i - 1.0f;
    }
    free(merges);
    return rc;
}

void save_charsmap(const struct tokenizer *t, struct buffer *out)
{
    const struct spm *m = is_spm(t) ? t->state : NULL;
    uint32_t bytes = m ? (uint32_t)(m->rules.count * sizeof *m->rules.units) : 0;
    if (bytes == 0)
        return;
    buffer_add(out, &bytes, sizeof bytes);
    buffer_add(out, m->rules.units, bytes);
    buffer_add(out, m->rules.texts, m->rules.texts_size);
}

/* Words, contractions, numbers, scripts, marks, white space, line ends, emoji, code. */
static const char sample[] = "Hello world, it's 12345.67 o'clock; they'll SAY \"DON'T\"  twice\t\n\n  \r\n x=[1,2];\n"
    "for (int i = 0; i < 10; i++) { a_b(i / 2); }  \xc3\xa9t\xc3\xa9 e\xcc\x81 stra\xc3\x9f"
    "e \xd8\xa7\xd9\x84\xd8\xb3\xd9\x8e\xd9\x91\xd9\x84\xd8\xa7\xd9\x85 \xd9\xa1\xd9\xa2 "
    "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c\xef\xbc\x81 \xe3\x81\x93\xe3\x82\x93 \xed\x95\x9c\xea\xb5\xad "
    "\xf0\x9f\x98\x80\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80 \xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d "
    "\xef\xac\x81 \xe2\x85\xa7 \xc2\xa0 a\xc2\xad" "b HTTPServer fooBar 3rd 1,000,000 ---- ...";

int tokenizer_same(const struct tokenizer *a, const struct tokenizer *b, struct error *err)
{
    struct tokens x = { 0 }, y = { 0 };
    size_t same = 0;
    int rc = tokenizer_encode(a, sample, sizeof sample - 1, TOKENIZE_DEFAULT | TOKENIZE_SPECIAL, &x, err);
    if (rc == 0)
        rc = tokenizer_encode(b, sample, sizeof sample - 1, TOKENIZE_DEFAULT | TOKENIZE_SPECIAL, &y, err);
    while (same < x.used && same < y.used && x.ids[same] == y.ids[same])
        same++;
    if (rc == 0 && (same < x.used || same < y.used))
        rc = error_set(err, ERROR_UNSUPPORTED,
            "the tokenizer cannot be said in this kind of file: token %zu of a sample text would be %d, not %d", same,
            same < y.used ? (int)y.ids[same] : -1, same < x.used ? (int)x.ids[same] : -1);
    tokens_release(&x);
    tokens_release(&y);
    return rc;
}
