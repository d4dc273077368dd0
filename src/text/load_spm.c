/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.model: SentencePiece's ModelProto in protobuf's wire format (sentencepiece_model.proto). Fields not named
 * here are skipped; a field given twice takes the later value, as protobuf says. */
#include "text/spm_impl.h"

#include <inttypes.h>
#include <string.h>

/* ---- protobuf ---- */

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct wire {
    const unsigned char *at, *end;
};

struct field {
    uint32_t number, type;
    uint64_t value;    /* of a number */
    struct wire bytes; /* of a string or message */
};

static int read_varint(struct wire *w, uint64_t *value, struct error *err)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (w->at == w->end)
            return error_set(err, ERROR_FORMAT, "the protobuf message ends inside a number");
        unsigned char byte = *w->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return 0;
    }
    return error_set(err, ERROR_FORMAT, "a protobuf number has more than 10 bytes");
}

static int read_fixed(struct wire *w, unsigned bytes, uint64_t *value, struct error *err)
{
    if ((size_t)(w->end - w->at) < bytes)
        return error_set(err, ERROR_FORMAT, "the protobuf message ends inside a number");
    *value = 0;
    for (unsigned i = 0; i < bytes; i++)
        *value |= (uint64_t)w->at[i] << 8 * i;
    w->at += bytes;
    return 0;
}

/* The next field of a message that is not at its end. */
static int read_field(struct wire *w, struct field *f, struct error *err)
{
    uint64_t key;
    int rc = read_varint(w, &key, err);
    if (rc)
        return rc;
    f->number = (uint32_t)(key >> 3);
    f->type = key & 7;
    if (key >> 32 || f->number == 0)
        return error_set(err, ERROR_FORMAT, "a protobuf field has number %" PRIu64, key >> 3);
    if (f->type == WIRE_64 || f->type == WIRE_32)
        return read_fixed(w, f->type == WIRE_64 ? 8 : 4, &f->value, err);
    if (f->type != WIRE_VARINT && f->type != WIRE_BYTES)
        return error_set(err, ERROR_FORMAT, "protobuf field %u has wire type %u", f->number, f->type);
    rc = read_varint(w, &f->value, err);
    if (rc || f->type == WIRE_VARINT)
        return rc;
    if (f->value > (uint64_t)(w->end - w->at))
        return error_set(err, ERROR_FORMAT, "protobuf field %u has %" PRIu64 " bytes, but only %zu are left", f->number,
            f->value, (size_t)(w->end - w->at));
    f->bytes = (struct wire){w->at, w->at + f->value};
    w->at += f->value;
    return 0;
}

static bool is(const struct field *f, uint32_t number, enum wire_type type)
{
    return f->number == number && f->type == type;
}

/* ---- the model ---- */

/* What the loader needs of trainer_spec (2) and normalizer_spec (3). */
struct settings {
    int32_t model_type, unknown, bos, eos, pad;
    bool whitespace_suffix, byte_fallback;
    bool dummy_prefix, collapse_whitespace, escape_whitespace;
    struct wire charsmap;
};

static int read_piece(struct tokenizer *t, struct wire w, struct error *err)
{
    static const enum token_kind kinds[] = {
        0, TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE};
    struct spm *m = t->state;
    struct wire text = {0};
    uint64_t type = 1;
    float score = 0;
    int32_t id = t->vocab.size;
    while (w.at < w.end) {
        struct field f;
        int rc = read_field(&w, &f, err);
        if (rc) {
            error_in(err, "piece %d", (int)id);
            return rc;
        }
        uint32_t bits = (uint32_t)f.value;
        if (is(&f, 1, WIRE_BYTES))
            text = f.bytes;
        else if (is(&f, 2, WIRE_32))
            memcpy(&score, &bits, sizeof score);
        else if (is(&f, 3, WIRE_VARINT))
            type = f.value;
    }
    if (type < 1 || type > 6)
        return error_set(err, ERROR_FORMAT, "piece %d has type %" PRIu64 ", known are 1 to 6", (int)id, type);
    if (text.at == text.end)
        return error_set(err, ERROR_FORMAT, "piece %d is empty", (int)id);
    if (type == 2 && m->unknown >= 0)
        return error_set(err, ERROR_FORMAT, "pieces %d and %d are both the unknown one", (int)m->unknown, (int)id);
    if (type == 2)
        m->unknown = id;
    int rc = vocab_put(&t->vocab, id, (const char *)text.at, (size_t)(text.end - text.at), kinds[type], err);
    return rc ? rc : vocab_put_score(&t->vocab, id, score, err);
}

static int read_trainer(struct settings *s, struct wire w, struct error *err)
{
    while (w.at < w.end) {
        struct field f;
        int rc = read_field(&w, &f, err);
        if (rc) {
            error_in(err, "trainer_spec");
            return rc;
        }
        if (f.type != WIRE_VARINT)
            continue;
        int32_t number = (int32_t)(uint32_t)f.value; /* negative ones are written with 64 bits */
        switch (f.number) {
        case 3: s->model_type = number; break;
        case 24: s->whitespace_suffix = f.value != 0; break;
        case 35: s->byte_fallback = f.value != 0; break;
        case 40: s->unknown = number; break;
        case 41: s->bos = number; break;
        case 42: s->eos = number; break;
        case 43: s->pad = number; break;
        default: break;
        }
    }
    return 0;
}

static int read_normalizer(struct settings *s, struct wire w, struct error *err)
{
    while (w.at < w.end) {
        struct field f;
        int rc = read_field(&w, &f, err);
        if (rc) {
            error_in(err, "normalizer_spec");
            return rc;
        }
        if (is(&f, 2, WIRE_BYTES))
            s->charsmap = f.bytes;
        else if (is(&f, 3, WIRE_VARINT))
            s->dummy_prefix = f.value != 0;
        else if (is(&f, 4, WIRE_VARINT))
            s->collapse_whitespace = f.value != 0;
        else if (is(&f, 5, WIRE_VARINT))
            s->escape_whitespace = f.value != 0;
    }
    return 0;
}

static int read_model(struct tokenizer *t, struct settings *s, struct wire w, struct error *err)
{
    int rc = 0;
    while (rc == 0 && w.at < w.end) {
        struct field f;
        rc = read_field(&w, &f, err);
        if (rc || f.type != WIRE_BYTES)
            continue;
        if (f.number == 1)
            rc = read_piece(t, f.bytes, err);
        else if (f.number == 2)
            rc = read_trainer(s, f.bytes, err);
        else if (f.number == 3)
            rc = read_normalizer(s, f.bytes, err);
    }
    return rc;
}

static void set_role(struct tokenizer *t, enum token_role role, int32_t id)
{
    if (id >= 0 && id < t->vocab.size && (t->vocab.kind[id] == TOKEN_CONTROL || t->vocab.kind[id] == TOKEN_UNKNOWN))
        t->role[role] = id;
}

static int apply(struct tokenizer *t, const struct settings *s, struct error *err)
{
    struct spm *m = t->state;
    if (s->model_type == 1)
        t->model = &unigram_model;
    else if (s->model_type != 2)
        return error_set(
            err, ERROR_UNSUPPORTED, "model type %d; handled are 1 (unigram) and 2 (BPE)", (int)s->model_type);
    int rc = charsmap_init(&m->rules, s->charsmap.at, (size_t)(s->charsmap.end - s->charsmap.at), err);
    if (rc)
        return rc;
    m->dummy_prefix = s->dummy_prefix;
    m->whitespace_suffix = s->whitespace_suffix;
    m->collapse_whitespace = s->collapse_whitespace;
    m->escape_whitespace = s->escape_whitespace;
    t->decode = (struct decode_rules){.spaces = s->escape_whitespace,
        .drop_first = s->dummy_prefix || s->collapse_whitespace,
        .drop_every = s->collapse_whitespace,
        .unknown = " \xe2\x81\x87 "};
    set_role(t, TOKEN_UNK, m->unknown);
    set_role(t, TOKEN_BOS, s->bos);
    set_role(t, TOKEN_EOS, s->eos);
    set_role(t, TOKEN_PAD, s->pad);
    /* The file does not say what goes around a text. Models with BPE (Llama, Mistral, Gemma) begin with BOS. */
    if (t->model == &spm_bpe_model && t->role[TOKEN_BOS] >= 0)
        tokens_add(&t->front, t->role[TOKEN_BOS]);
    rc = tokens_check(&t->front, err);
    if (rc == 0)
        rc = spm_finish(t, err);
    m->byte_fallback = s->byte_fallback;
    return rc ? rc : spm_add_normalizer(t, err);
}

int load_sentencepiece(struct tokenizer *t, const void *data, size_t n, struct error *err)
{
    struct settings s = {.model_type = 1,
        .bos = 1,
        .eos = 2,
        .pad = -1,
        .dummy_prefix = true,
        .collapse_whitespace = true,
        .escape_whitespace = true};
    int rc = spm_new(t, &spm_bpe_model, err);
    if (rc == 0)
        rc = read_model(t, &s, (struct wire){data, (const unsigned char *)data + n}, err);
    if (rc == 0)
        rc = apply(t, &s, err);
    if (rc)
        error_in(err, "could not read a SentencePiece model of %zu bytes", n);
    return rc;
}
