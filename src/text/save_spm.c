/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.model: SentencePiece's protocol buffer. Spec: sentencepiece_model.proto of google/sentencepiece. */
#include "text/save_spm.h"

#include "text/save_impl.h"
#include "text/spm_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum wire { VARINT = 0, BYTES = 2, FIXED32 = 5 };

static void add_varint(struct buffer *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buffer_add_byte(b, (char)(value | 0x80));
    buffer_add_byte(b, (char)value);
}

static void add_whole(struct buffer *b, int field, int64_t value)
{
    add_varint(b, (uint64_t)field << 3 | VARINT);
    add_varint(b, (uint64_t)value);
}

static void add_bytes(struct buffer *b, int field, const void *data, size_t n)
{
    add_varint(b, (uint64_t)field << 3 | BYTES);
    add_varint(b, n);
    if (n)
        buffer_add(b, data, n);
}

static void add_piece(struct buffer *out, const struct tokenizer *t, int32_t id, float score)
{
    struct buffer piece = { 0 };
    char hole[32];
    size_t n;
    const char *text = tokenizer_piece(t, id, &n);
    if (n == 0) {
        n = (size_t)snprintf(hole, sizeof hole, "[PAD%d]", (int)id);
        text = hole;
    }
    add_bytes(&piece, 1, text, n);
    add_varint(&piece, 2 << 3 | FIXED32);
    buffer_add(&piece, &score, sizeof score);
    add_whole(&piece, 3, save_kind(t, id));
    add_bytes(out, 1, piece.data, piece.used);
    out->failed |= piece.failed;
    buffer_release(&piece);
}

int save_spm(struct buffer *out, const struct tokenizer *t, struct error *err)
{
    struct buffer trainer = { 0 }, normalizer = { 0 }, rules = { 0 };
    struct save_steps steps;
    float *scores;
    bool bytes = false;
    int rc = save_scores_new(&scores, t, err);
    if (rc == 0)
        rc = save_find_steps(t, &steps, err);
    for (int32_t id = 0; rc == 0 && id < t->vocab.size; id++) {
        add_piece(out, t, id, scores[id]);
        bytes = bytes || tokenizer_kind(t, id) == TOKEN_BYTE;
    }
    if (rc == 0) {
        add_whole(&trainer, 3, save_is_unigram(t) ? 1 : 2);
        add_whole(&trainer, 4, t->vocab.size);
        add_whole(&trainer, 35, bytes);
        add_whole(&trainer, 40, tokenizer_special(t, TOKEN_UNK) >= 0 ? tokenizer_special(t, TOKEN_UNK) : 0);
        add_whole(&trainer, 41, tokenizer_special(t, TOKEN_BOS));
        add_whole(&trainer, 42, tokenizer_special(t, TOKEN_EOS));
        add_whole(&trainer, 43, tokenizer_special(t, TOKEN_PAD));
        save_charsmap(t, &rules);
        add_bytes(&normalizer, 1, rules.used ? "custom" : "identity", rules.used ? 6 : 8);
        add_bytes(&normalizer, 2, rules.data, rules.used);
        add_whole(&normalizer, 3, steps.prefix);
        add_whole(&normalizer, 4, steps.collapses);
        add_whole(&normalizer, 5, 1);
        add_bytes(out, 2, trainer.data, trainer.used);
        add_bytes(out, 3, normalizer.data, normalizer.used);
        out->failed |= trainer.failed || normalizer.failed || rules.failed;
        rc = buffer_check(out, "a tokenizer", err);
    }
    free(scores);
    buffer_release(&trainer);
    buffer_release(&normalizer);
    buffer_release(&rules);
    return rc;
}
