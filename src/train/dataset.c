/* SPDX-License-Identifier: Apache-2.0 */
#include "train/dataset.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)1 << 20) /* numbers in a chunk of its own size; longer samples get one that fits */

struct chunk {
    struct chunk *next;
    size_t used, size;
    int32_t numbers[];
};

/* Where each token's target is the next token, both are one list: ids (count + 1), targets from the second on. */
struct sample {
    const int32_t *ids, *targets;
    int count;
};

struct dataset {
    struct dataset_size size;
    struct sample *samples; /* (size.samples) */
    struct chunk *chunks;
    unsigned char digest[DATASET_DIGEST];
};

struct dataset_builder {
    struct dataset data;
    size_t capacity; /* of data.samples */
};

int dataset_builder_open(struct dataset_builder **out, struct error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : error_memory(err, sizeof **out, "training data");
}

static void release(struct dataset *d)
{
    while (d->chunks) {
        struct chunk *next = d->chunks->next;
        free(d->chunks);
        d->chunks = next;
    }
    free(d->samples);
}

void dataset_builder_close(struct dataset_builder *b)
{
    if (b)
        release(&b->data);
    free(b);
}

const struct dataset_size *dataset_builder_size(const struct dataset_builder *b)
{
    return &b->data.size;
}

/* Room for n numbers, not yet taken; NULL without memory. */
static int32_t *room(struct dataset *d, size_t n, struct error *err)
{
    if (!d->chunks || d->chunks->size - d->chunks->used < n) {
        size_t size = n > CHUNK ? n : CHUNK;
        struct chunk *chunk = malloc(sizeof *chunk + size * sizeof *chunk->numbers);
        if (!chunk) {
            error_memory(err, size * sizeof *chunk->numbers, "training data");
            return NULL;
        }
        chunk->next = d->chunks;
        chunk->used = 0;
        chunk->size = size;
        d->chunks = chunk;
    }
    return d->chunks->numbers + d->chunks->used;
}

static int grow(struct dataset_builder *b, struct error *err)
{
    if (b->data.size.samples < b->capacity)
        return 0;
    size_t capacity = b->capacity ? 2 * b->capacity : 1024;
    struct sample *samples = realloc(b->data.samples, capacity * sizeof *samples);
    if (!samples)
        return error_memory(err, capacity * sizeof *samples, "the list of samples");
    b->data.samples = samples;
    b->capacity = capacity;
    return 0;
}

static int check(const struct train_text *s, int *counted, bool *plain, struct error *err)
{
    *counted = 0;
    *plain = true;
    if (s->count < 1)
        return error_set(err, ERROR_USAGE, "a sample has %d tokens", s->count);
    for (int i = 0; i < s->count; i++) {
        int32_t id = s->ids[i], target = s->targets[i];
        if (id < 0 || (target < 0 && target != TRAIN_SKIP))
            return error_set(
                err, ERROR_USAGE, "token %d of a sample is %d with the target %d, which is no token", i, id, target);
        *counted += target != TRAIN_SKIP;
        *plain &= target != TRAIN_SKIP && (i + 1 == s->count || target == s->ids[i + 1]);
    }
    if (*counted == 0)
        return error_set(err, ERROR_USAGE, "a sample of %d tokens has none that counts", s->count);
    return 0;
}

int dataset_builder_add(struct dataset_builder *b, const struct train_text *sample, uint64_t counted_bytes,
    struct error *err)
{
    struct dataset *d = &b->data;
    struct dataset_size *size = &d->size;
    size_t count = (size_t)(sample->count > 0 ? sample->count : 0);
    int counted;
    bool plain;
    int rc = check(sample, &counted, &plain, err);
    if (rc == 0)
        rc = grow(b, err);
    int32_t *at = rc ? NULL : room(d, plain ? count + 1 : 2 * count, err);
    if (!at)
        return rc ? rc : ERROR_MEMORY;
    memcpy(at, sample->ids, count * sizeof *at);
    if (plain)
        at[count] = sample->targets[count - 1];
    else
        memcpy(at + count, sample->targets, count * sizeof *at);
    d->chunks->used += plain ? count + 1 : 2 * count;
    d->samples[size->samples++] = (struct sample){at, plain ? at + 1 : at + count, sample->count};
    size->tokens += count;
    size->counted += (uint64_t)counted;
    size->counted_bytes += counted_bytes;
    if (sample->count > size->longest)
        size->longest = sample->count;
    return 0;
}

static int digest(struct dataset *d, struct error *err)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; good && i < d->size.samples; i++) {
        const struct sample *s = &d->samples[i];
        int32_t count = s->count;
        size_t bytes = (size_t)count * sizeof *s->ids;
        good = EVP_DigestUpdate(md, &count, sizeof count) == 1 && EVP_DigestUpdate(md, s->ids, bytes) == 1 &&
               EVP_DigestUpdate(md, s->targets, bytes) == 1;
    }
    good = good && EVP_DigestFinal_ex(md, d->digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    return good ? 0 : error_set(err, ERROR_MEMORY, "could not compute SHA-256 of the training data");
}

int dataset_builder_finish(struct dataset **out, struct dataset_builder *b, struct error *err)
{
    *out = NULL;
    if (b->data.size.samples == 0)
        return error_set(err, ERROR_USAGE, "there is nothing to learn from: no samples");
    int rc = digest(&b->data, err);
    struct dataset *d = rc ? NULL : malloc(sizeof *d);
    if (rc == 0 && !d)
        rc = error_memory(err, sizeof *d, "training data");
    if (rc)
        return rc;
    *d = b->data;
    memset(b, 0, sizeof *b);
    *out = d;
    return 0;
}

void dataset_close(struct dataset *d)
{
    if (d)
        release(d);
    free(d);
}

const struct dataset_size *dataset_size(const struct dataset *d)
{
    return &d->size;
}

void dataset_sample(const struct dataset *d, size_t i, struct train_text *out)
{
    assert(i < d->size.samples);
    *out = (struct train_text){d->samples[i].ids, d->samples[i].targets, d->samples[i].count};
}

const unsigned char *dataset_digest(const struct dataset *d)
{
    return d->digest;
}
