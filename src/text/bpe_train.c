/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe_train.h"

#include "base/utf8.h"
#include "text/bpe.h"
#include "text/bpe_train_impl.h"
#include "text/load.h"
#include "text/pretoken_impl.h"
#include "text/save_json.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct bpe_training {
    struct bpe_training_options options;
    char *pattern;
    struct budget budget;
    struct pretoken *pretoken;
    struct pool *pool;
    struct word_counter *counter;
    struct learned learned;
    uint64_t texts, bytes;
};

/* -- tokens -- */

int learned_put(struct learned *l, const char *bytes, size_t n, uint32_t *id, struct error *err)
{
    int64_t known = map_find(&l->ids, bytes, n, -1);
    *id = (uint32_t)known;
    if (known >= 0)
        return 0;
    char *copy = malloc(n + 1);
    if (!copy)
        return error_memory(err, n, "a token");
    memcpy(copy, bytes, n);
    copy[n] = '\0';
    *id = l->token_count++;
    l->tokens[*id] = (struct learned_token) { copy, n };
    return map_put(&l->ids, copy, n, *id, err);
}

/* A special token counts as the bytes that are spelled so in byte-level vocabularies, if there are some: merging may
 * come to it. */
static int put_special(struct learned *l, const char *text, struct error *err)
{
    size_t n = strlen(text);
    char bytes[PIECE_BYTES_MAX];
    if (n == 0 || n > sizeof bytes || utf8_valid_prefix(text, n) < n)
        return error_set(err, ERROR_USAGE, "special token \"%.100s\" is %s", text,
            n == 0 ? "empty" : n > sizeof bytes ? "too long" : "not UTF-8");
    ptrdiff_t spelled = byte_level_decode(bytes, text, n);
    uint32_t id = l->token_count;
    if (spelled > 0)
        return learned_put(l, bytes, (size_t)spelled, &id, err);
    l->tokens[l->token_count++] = (struct learned_token) { NULL, 0 };
    return 0;
}

static int put_specials(struct learned *l, const struct bpe_training_options *o, struct error *err)
{
    int rc = 0;
    if (o->n_specials > (o->vocabulary > 0 ? (size_t)o->vocabulary : 0))
        return error_set(err, ERROR_USAGE, "a vocabulary of %d has no room for %zu special tokens", (int)o->vocabulary,
            o->n_specials);
    for (size_t i = 0; rc == 0 && i < o->n_specials; i++) {
        for (size_t k = 0; k < i; k++)
            if (strcmp(o->specials[k], o->specials[i]) == 0)
                return error_set(err, ERROR_USAGE, "special token \"%s\" is given twice", o->specials[i]);
        rc = put_special(l, o->specials[i], err);
    }
    return rc;
}

/* All bytes, in the order of the characters that stand for them. */
static int put_bytes(struct learned *l, struct error *err)
{
    int rc = 0;
    for (int32_t point = 33; rc == 0 && point < 0x100 + 68; point++) {
        char spelled[4], byte[4];
        size_t n = (size_t)utf8_encode(spelled, point);
        if (byte_level_decode(byte, spelled, n) == 1)
            rc = learned_put(l, byte, 1, &l->byte_id[(unsigned char)byte[0]], err);
    }
    return rc;
}

static int begin_vocabulary(struct learned *l, const struct bpe_training_options *o, struct error *err)
{
    size_t room = (o->vocabulary > 0 ? (size_t)o->vocabulary : 0) + 256;
    if (o->vocabulary > VOCAB_SIZE_MAX)
        return error_set(err, ERROR_USAGE, "a vocabulary of %d is above the limit of %d", (int)o->vocabulary,
            VOCAB_SIZE_MAX);
    l->tokens = calloc(room, sizeof *l->tokens);
    int rc = l->tokens ? map_init(&l->ids, room, err) : error_memory(err, room * sizeof *l->tokens, "a vocabulary");
    if (rc == 0)
        rc = put_specials(l, o, err);
    if (rc == 0)
        rc = put_bytes(l, err);
    if (rc == 0 && (int64_t)l->token_count > o->vocabulary)
        rc = error_set(err, ERROR_USAGE, "a vocabulary of %d is too small: bytes and special tokens are %u",
            (int)o->vocabulary, (unsigned)l->token_count);
    return rc;
}

/* -- a training -- */

static int make_pretoken(struct bpe_training *b, struct error *err)
{
    const struct bpe_training_options *o = &b->options;
    struct save_steps steps = { .pattern = b->pattern, .digits_apart = o->digits_apart, .space = o->space };
    if (!known_pattern_named(o->pattern))
        return error_set(err, ERROR_USAGE, "no pattern is known as \"%s\"", o->pattern);
    if (o->space && strcmp(o->pattern, "gpt2") != 0)
        return error_set(err, ERROR_USAGE, "a space in front goes with the pattern gpt2, not with %s", o->pattern);
    b->pattern = strdup(o->pattern);
    steps.pattern = b->pattern;
    json_t *spec = b->pattern ? save_pretokenizer_new(&steps) : NULL;
    int rc = spec ? pretoken_new_json(&b->pretoken, spec, err) : error_memory(err, 1024, "a pre-tokenizer");
    json_decref(spec);
    return rc;
}

int bpe_training_open(struct bpe_training **out, const struct bpe_training_options *options, struct error *err)
{
    struct bpe_training *b = calloc(1, sizeof *b);
    *out = NULL;
    if (!b)
        return error_memory(err, sizeof *b, "learning a vocabulary");
    b->options = *options;
    b->budget.size = options->memory_max;
    atomic_init(&b->budget.left, (int64_t)options->memory_max);
    int rc = make_pretoken(b, err);
    if (rc == 0)
        rc = begin_vocabulary(&b->learned, options, err);
    if (rc == 0)
        rc = pool_open(&b->pool, options->threads, err);
    if (rc == 0)
        rc = word_counter_open(&b->counter, b->pretoken, &b->budget, b->pool, err);
    if (rc)
        bpe_training_close(b);
    else
        *out = b;
    return rc;
}

void bpe_training_close(struct bpe_training *b)
{
    if (!b)
        return;
    word_counter_close(b->counter);
    pool_close(b->pool);
    pretoken_close(b->pretoken);
    for (uint32_t i = 0; i < b->learned.token_count; i++)
        free(b->learned.tokens[i].bytes);
    free(b->learned.tokens);
    free(b->learned.merges);
    map_release(&b->learned.ids);
    free(b->pattern);
    free(b);
}

int bpe_training_add(struct bpe_training *b, const char *text, size_t n, struct error *err)
{
    b->texts++;
    b->bytes += n;
    return word_counter_add(b->counter, text, n, err);
}

/* -- the outcome -- */

/* A pair that merged twice has the later place, as where its list is read. */
static int drop_earlier(struct learned *l, int32_t *left, struct error *err)
{
    struct map seen;
    int rc = map_init(&seen, l->merge_count, err);
    *left = 0;
    for (size_t i = l->merge_count; rc == 0 && i-- > 0;) {
        struct learned_merge *m = &l->merges[i];
        m->again = map_find(&seen, (const char *)m->pair, sizeof m->pair, 0) != 0;
        *left += !m->again;
        rc = map_put(&seen, (const char *)m->pair, sizeof m->pair, 1, err);
    }
    map_release(&seen);
    return rc;
}

static int put_pieces(struct tokenizer *t, const struct learned *l, const struct bpe_training_options *o,
    struct error *err)
{
    int rc = vocab_reserve(&t->vocab, l->token_count, err);
    for (uint32_t id = 0; rc == 0 && id < l->token_count; id++) {
        const struct learned_token *token = &l->tokens[id];
        rc = token->bytes ? vocab_put(&t->vocab, id, token->bytes, token->n, TOKEN_NORMAL, err)
                          : vocab_put(&t->vocab, id, o->specials[id], strlen(o->specials[id]), TOKEN_CONTROL, err);
    }
    return rc ? rc : vocab_index(&t->vocab, err);
}

static int put_merges(struct tokenizer *t, const struct learned *l, struct error *err)
{
    struct bpe_options options = { .unknown = -1 };
    int rc = bpe_new(t, &options, l->merge_count, err);
    for (size_t i = 0; rc == 0 && i < l->merge_count; i++) {
        const struct learned_token *left = &l->tokens[l->merges[i].pair[0]], *right = &l->tokens[l->merges[i].pair[1]];
        if (!l->merges[i].again)
            rc = bpe_add_merge(t, left->bytes, left->n, right->bytes, right->n, err);
    }
    return rc ? rc : bpe_end_merges(t, err);
}

static int fill(struct tokenizer *t, struct bpe_training *b, struct error *err)
{
    int rc = put_pieces(t, &b->learned, &b->options, err);
    if (rc == 0)
        rc = put_merges(t, &b->learned, err);
    for (size_t i = 0; rc == 0 && i < b->options.n_specials; i++)
        rc = add_special(t, (int32_t)i, b->options.specials[i], err);
    t->pretoken = b->pretoken;
    b->pretoken = NULL;
    if (rc == 0)
        rc = tokenizer_finish(t, err);
    if (rc == 0)
        guess_roles(t);
    return rc;
}

int bpe_training_finish(struct tokenizer **out, struct bpe_training_report *report, struct bpe_training *b,
    struct error *err)
{
    struct words *shards;
    struct learned *l = &b->learned;
    struct tokenizer *t = NULL;
    *out = NULL;
    *report = (struct bpe_training_report) { .texts = b->texts, .bytes = b->bytes };
    if (b->bytes == 0)
        return error_set(err, ERROR_USAGE, "could not learn a vocabulary: there is no text");
    int rc = word_counter_finish(&shards, b->counter, err);
    if (rc == 0)
        rc = learn_merges(l, shards, &b->options, &b->budget, err);
    if (rc == 0)
        rc = drop_earlier(l, &report->merges, err);
    report->words = l->words;
    report->tokens = l->text_tokens;
    if (rc == 0)
        rc = tokenizer_new(&t, err);
    if (rc == 0)
        rc = fill(t, b, err);
    if (rc) {
        tokenizer_close(t);
        t = NULL;
    }
    *out = t;
    return rc;
}
