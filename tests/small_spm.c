/* SPDX-License-Identifier: Apache-2.0 */
#include "small_spm.h"

#include "text/tokenizer_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void varint(struct buffer *b, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        buffer_add_byte(b, (char)(value | 0x80));
    buffer_add_byte(b, (char)value);
}

void small_varint(struct buffer *b, unsigned field, uint64_t value)
{
    varint(b, field << 3);
    varint(b, value);
}

void small_bytes(struct buffer *b, unsigned field, const void *bytes, size_t n)
{
    varint(b, field << 3 | 2);
    varint(b, n);
    buffer_add(b, bytes, n);
}

void small_float(struct buffer *b, unsigned field, float value)
{
    varint(b, field << 3 | 5);
    buffer_add(b, &value, sizeof value); /* little endian, as the machines that the tests run on */
}

void small_piece(struct buffer *model, const char *text, float score, enum small_spm_type type)
{
    struct buffer piece = {0};
    small_bytes(&piece, 1, text, strlen(text));
    small_float(&piece, 2, score);
    if (type != SPM_NORMAL)
        small_varint(&piece, 3, type);
    small_bytes(model, 1, piece.data, piece.used);
    buffer_release(&piece);
}

void small_byte_pieces(struct buffer *model)
{
    for (int i = 0; i < 256; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", i);
        small_piece(model, text, 0, SPM_BYTE);
    }
}

void small_settings(struct buffer *model, const struct small_settings *s)
{
    struct buffer trainer = {0}, normalizer = {0};
    small_varint(&trainer, 3, s->type);
    small_varint(&trainer, 24, s->suffix);
    small_varint(&trainer, 35, s->byte_fallback);
    small_varint(&trainer, 41, (uint64_t)(int64_t)s->bos);
    small_varint(&trainer, 42, (uint64_t)(int64_t)s->eos);
    small_varint(&trainer, 43, (uint64_t)(int64_t)s->pad);
    if (s->charsmap_bytes)
        small_bytes(&normalizer, 2, s->charsmap, s->charsmap_bytes);
    small_varint(&normalizer, 3, s->dummy_prefix);
    small_varint(&normalizer, 4, s->collapse);
    small_varint(&normalizer, 5, s->escape);
    small_bytes(model, 2, trainer.data, trainer.used);
    small_bytes(model, 3, normalizer.data, normalizer.used);
    buffer_release(&trainer);
    buffer_release(&normalizer);
}

struct tokenizer *small_open(struct buffer *model, struct error *err)
{
    struct tokenizer *t;
    int rc = tokenizer_new(&t, err);
    if (rc == 0)
        rc = load_sentencepiece(t, model->data, model->used, err);
    if (rc == 0)
        rc = tokenizer_finish(t, err);
    buffer_release(model);
    if (rc == 0)
        return t;
    tokenizer_close(t);
    return NULL;
}

struct tokenizer *small_byte_tokenizer(const char *const *controls, int n, const char *bos, const char *eos)
{
    struct buffer model = {0};
    struct error err = {0};
    struct small_settings s = {.type = SPM_BPE, .bos = -1, .eos = -1, .pad = -1, .byte_fallback = true};
    small_byte_pieces(&model);
    for (int i = 0; i < n; i++) {
        small_piece(&model, controls[i], 0, SPM_CONTROL);
        if (bos && strcmp(bos, controls[i]) == 0)
            s.bos = 256 + i;
        if (eos && strcmp(eos, controls[i]) == 0)
            s.eos = 256 + i;
    }
    small_piece(&model, "<unk>", 0, SPM_UNKNOWN);
    small_settings(&model, &s);
    return small_open(&model, &err);
}
