/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json's "model" of type Unigram: {"unk_id", "vocab": [[piece, score], ...], "byte_fallback"}. Normalisation
 * and special tokens stand elsewhere in the file. */
#include "text/spm_impl.h"

#include <stdlib.h>

static int read_entry(struct tokenizer *t, const json_t *entry, int32_t id, bool byte_fallback, struct error *err)
{
    const struct spm *m = t->state;
    const json_t *piece = json_array_get(entry, 0), *score = json_array_get(entry, 1);
    if (!json_is_string(piece) || !json_is_number(score))
        return error_set(
            err, ERROR_FORMAT, "entry %d of the unigram vocabulary is not a pair of text and number", (int)id);
    const char *text = json_string_value(piece);
    size_t n = json_string_length(piece);
    enum token_kind kind = TOKEN_NORMAL;
    if (id == m->unknown)
        kind = TOKEN_UNKNOWN;
    else if (byte_fallback && vocab_byte_value(text, n) >= 0)
        kind = TOKEN_BYTE;
    m->exact[id] = json_number_value(score);
    int rc = vocab_put(&t->vocab, id, text, n, kind, err);
    return rc ? rc : vocab_put_score(&t->vocab, id, (float)json_number_value(score), err);
}

int load_json_unigram(struct tokenizer *t, const json_t *model, struct error *err)
{
    const json_t *vocab = json_object_get(model, "vocab");
    size_t count = json_array_size(vocab);
    long long unknown = json_whole(model, "unk_id", -1);
    bool byte_fallback = json_flag(model, "byte_fallback", false);
    if (count == 0 || count > VOCAB_SIZE_MAX || unknown < 0 || unknown >= (long long)count)
        return error_set(
            err, ERROR_FORMAT, "the unigram model has %zu pieces and the unknown one is %lld", count, unknown);
    int rc = spm_new(t, &unigram_model, err);
    if (rc)
        return rc;
    struct spm *m = t->state;
    m->unknown = (int32_t)unknown;
    m->exact = calloc(count, sizeof *m->exact);
    if (!m->exact)
        return error_memory(err, count * sizeof *m->exact, "the scores of a vocabulary");
    t->role[TOKEN_UNK] = m->unknown;
    rc = vocab_reserve(&t->vocab, (int64_t)count, err);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = read_entry(t, json_array_get(vocab, i), (int32_t)i, byte_fallback, err);
    if (rc == 0)
        rc = spm_finish(t, err);
    m->byte_fallback = byte_fallback;
    return rc;
}
