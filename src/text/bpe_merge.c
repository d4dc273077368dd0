/* SPDX-License-Identifier: Apache-2.0 */
/* The pair that occurs most often merges, of equals the one of the lower ids (left, then right), until there are as
 * many tokens as wanted. Spec: BpeTrainer of Hugging Face tokenizers, whose habits decide where it matters:
 *
 * - A pair's count is not taken back when it merges. Where a token is made a second time, by another pair of the same
 *   bytes, pairs with it come into the queue again, with their new words alone and the sum of both counts.
 * - An entry of the queue whose count has changed goes back with the new one when its turn comes.
 * - Pairs that would make too long a token are taken off counts, never added.
 *
 * Only words that had a pair when it came into the queue are looked through. Neighbours of one merge are added up by
 * their ids first, so the table of pairs is asked once for each different pair. */
#include "text/bpe_train_impl.h"

#include <stdlib.h>
#include <string.h>

#define REPORT_MERGES 64 /* between calls of progress */
#define NO_WORD UINT32_MAX

struct pair {
    uint32_t left, right;
    int64_t count;
};

/* A pair that waits for its turn, with the words to look through. */
struct entry {
    int64_t count; /* when it came into the queue */
    uint32_t left, right;
    size_t places; /* in state.places */
    uint32_t n, pair;
};

/* What a merge of (left, right) does to the pairs with one neighbour token, by the neighbour's id. */
enum side { BEFORE, BEHIND, SIDES };
struct neighbour {
    struct {
        int64_t lost, made; /* occurrences of the pair with the half beside it; of the pair with the new token */
        uint32_t words, last; /* that have the new pair, and the last of them */
        size_t places;
    } at[SIDES];
    bool touched;
};

struct made {
    uint32_t id, word;
    enum side side;
};

struct state {
    struct learned *learned;
    struct budget *budget;
    size_t length_limit;
    /* words: symbols of word i are [start[i], start[i] + length[i]) */
    uint32_t *symbols, *length;
    size_t *start;
    uint64_t *counts;
    size_t words, symbols_capacity, length_capacity, start_capacity, counts_capacity;
    /* pairs by ids */
    struct pair *pairs;
    uint32_t *slots; /* index + 1; 0: free */
    size_t pair_count, pair_capacity, slot_count;
    struct entry *queue; /* a heap */
    size_t queued, queue_capacity;
    uint32_t *places; /* words that queued pairs are in */
    size_t place_count, place_capacity;
    /* of one merge */
    struct neighbour *neighbours; /* (ids) */
    uint32_t *touched;
    struct made *made;
    size_t neighbour_capacity, touched_count, touched_capacity, made_count, made_capacity;
};

/* -- pairs -- */

static uint32_t *pair_slot(const struct state *s, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    size_t mask = s->slot_count - 1;
    for (size_t at = (size_t)(key ^ key >> 32) & mask;; at = (at + 1) & mask) {
        uint32_t *slot = &s->slots[at];
        if (*slot == 0 || (s->pairs[*slot - 1].left == left && s->pairs[*slot - 1].right == right))
            return slot;
    }
}

static int more_slots(struct state *s, struct error *err)
{
    size_t wanted = s->slot_count ? s->slot_count * 2 : 1024;
    budget_return(s->budget, &s->slots, &s->slot_count, sizeof *s->slots);
    int rc = budget_grow(s->budget, &s->slots, &s->slot_count, wanted, sizeof *s->slots, err);
    if (rc)
        return rc;
    memset(s->slots, 0, wanted * sizeof *s->slots);
    for (size_t i = 0; i < s->pair_count; i++)
        *pair_slot(s, s->pairs[i].left, s->pairs[i].right) = (uint32_t)i + 1;
    return 0;
}

/* Add to the count of a pair. */
static int add_count(struct state *s, uint32_t left, uint32_t right, int64_t change, uint32_t *pair,
    struct error *err)
{
    int rc = s->pair_count * 2 >= s->slot_count ? more_slots(s, err) : 0;
    if (rc)
        return rc;
    uint32_t *slot = pair_slot(s, left, right);
    if (*slot == 0) {
        if (s->pair_count >= UINT32_MAX - 1)
            return error_set(err, ERROR_LIMIT, "%zu different pairs of tokens are above the limit", s->pair_count);
        rc = budget_grow(s->budget, &s->pairs, &s->pair_capacity, s->pair_count + 1, sizeof *s->pairs, err);
        if (rc)
            return rc;
        s->pairs[s->pair_count] = (struct pair) { left, right, 0 };
        *slot = (uint32_t)++s->pair_count;
    }
    *pair = *slot - 1;
    s->pairs[*pair].count += change;
    return 0;
}

/* -- the queue -- */

static bool goes_first(const struct entry *a, const struct entry *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    if (a->left != b->left)
        return a->left < b->left;
    return a->right != b->right ? a->right < b->right : a->places < b->places;
}

static void sift_down(struct state *s, struct entry entry)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < s->queued; at = child) {
        if (child + 1 < s->queued && goes_first(&s->queue[child + 1], &s->queue[child]))
            child++;
        if (!goes_first(&s->queue[child], &entry))
            break;
        s->queue[at] = s->queue[child];
    }
    s->queue[at] = entry;
}

static int push(struct state *s, uint32_t pair, size_t places, uint32_t n, struct error *err)
{
    const struct pair *p = &s->pairs[pair];
    struct entry entry = { p->count, p->left, p->right, places, n, pair };
    int rc = budget_grow(s->budget, &s->queue, &s->queue_capacity, s->queued + 1, sizeof *s->queue, err);
    if (rc)
        return rc;
    size_t at = s->queued++;
    for (; at > 0 && goes_first(&entry, &s->queue[(at - 1) / 2]); at = (at - 1) / 2)
        s->queue[at] = s->queue[(at - 1) / 2];
    s->queue[at] = entry;
    return 0;
}

/* The entry whose turn it is; false: none is left that occurs often enough. */
static bool pop(struct state *s, uint64_t frequency_min, struct entry *out)
{
    while (s->queued) {
        struct entry top = s->queue[0];
        if (top.count == s->pairs[top.pair].count) {
            s->queued--;
            if (s->queued)
                sift_down(s, s->queue[s->queued]);
            *out = top;
            return top.count > 0 && (uint64_t)top.count >= frequency_min;
        }
        top.count = s->pairs[top.pair].count;
        sift_down(s, top);
    }
    return false;
}

/* -- words -- */

static int take_words(struct state *s, struct words *from, struct error *err)
{
    size_t symbols = s->words ? s->start[s->words - 1] + s->length[s->words - 1] : 0;
    size_t all = s->words + from->used;
    if (all >= NO_WORD)
        return error_set(err, ERROR_LIMIT, "%zu different words are above the limit", all);
    int rc = budget_grow(s->budget, &s->symbols, &s->symbols_capacity, symbols + from->bytes_used, 4, err);
    if (rc == 0)
        rc = budget_grow(s->budget, &s->length, &s->length_capacity, all, sizeof *s->length, err);
    if (rc == 0)
        rc = budget_grow(s->budget, &s->start, &s->start_capacity, all, sizeof *s->start, err);
    if (rc == 0)
        rc = budget_grow(s->budget, &s->counts, &s->counts_capacity, all, sizeof *s->counts, err);
    for (size_t i = 0; rc == 0 && i < from->used; i++) {
        const struct word *w = &from->list[i];
        for (size_t k = 0; k < w->n; k++)
            s->symbols[symbols + k] = s->learned->byte_id[(unsigned char)from->bytes[w->at + k]];
        s->start[s->words] = symbols;
        s->length[s->words] = w->n;
        s->counts[s->words++] = w->count;
        symbols += w->n;
    }
    words_release(from, s->budget);
    return rc;
}

/* -- the first pairs -- */

struct tally {
    uint32_t last, n; /* words that have the pair, and the last of them */
    size_t at;
};

static int tally_pairs(struct state *s, struct tally **tally, size_t *capacity, struct error *err)
{
    int rc = 0;
    for (size_t w = 0; w < s->words; w++) {
        const uint32_t *symbols = s->symbols + s->start[w];
        for (uint32_t i = 1; rc == 0 && i < s->length[w]; i++) {
            size_t before = s->pair_count;
            uint32_t pair = 0;
            rc = add_count(s, symbols[i - 1], symbols[i], (int64_t)s->counts[w], &pair, err);
            if (rc == 0)
                rc = budget_grow(s->budget, tally, capacity, s->pair_count, sizeof **tally, err);
            if (rc)
                return rc;
            struct tally *t = &(*tally)[pair];
            if (s->pair_count > before)
                *t = (struct tally) { NO_WORD, 0, 0 };
            t->n += t->last != (uint32_t)w;
            t->last = (uint32_t)w;
        }
    }
    return rc;
}

/* Each pair's words stand together. */
static void place_words(struct state *s, struct tally *tally)
{
    s->place_count = 0;
    for (size_t i = 0; i < s->pair_count; i++) {
        tally[i].at = s->place_count;
        tally[i].last = NO_WORD;
        s->place_count += tally[i].n;
    }
    for (size_t w = 0; w < s->words; w++) {
        const uint32_t *symbols = s->symbols + s->start[w];
        for (uint32_t i = 1; i < s->length[w]; i++) {
            struct tally *t = &tally[*pair_slot(s, symbols[i - 1], symbols[i]) - 1];
            if (t->last != (uint32_t)w)
                s->places[t->at++] = (uint32_t)w;
            t->last = (uint32_t)w;
        }
    }
}

static int queue_first(struct state *s, struct error *err)
{
    struct tally *tally = NULL;
    size_t capacity = 0, total = 0;
    int rc = tally_pairs(s, &tally, &capacity, err);
    for (size_t i = 0; rc == 0 && i < s->pair_count; i++)
        total += tally[i].n;
    if (rc == 0)
        rc = budget_grow(s->budget, &s->places, &s->place_capacity, total, sizeof *s->places, err);
    if (rc == 0)
        place_words(s, tally);
    for (size_t i = 0; rc == 0 && i < s->pair_count; i++)
        rc = push(s, (uint32_t)i, tally[i].at - tally[i].n, tally[i].n, err);
    budget_return(s->budget, &tally, &capacity, sizeof *tally);
    return rc;
}

/* -- one merge -- */

static struct neighbour *touch(struct state *s, uint32_t id)
{
    struct neighbour *n = &s->neighbours[id];
    if (!n->touched) {
        n->touched = true;
        for (int side = 0; side < SIDES; side++)
            n->at[side].last = NO_WORD;
        s->touched[s->touched_count++] = id;
    }
    return n;
}

/* An occurrence in `word` beside the neighbour: the pair with the old half is lost, that with the new token made. */
static void change(struct state *s, uint32_t id, enum side side, uint32_t word, bool makes)
{
    struct neighbour *n = touch(s, id);
    n->at[side].lost += (int64_t)s->counts[word];
    if (!makes)
        return;
    n->at[side].made += (int64_t)s->counts[word];
    if (n->at[side].last != word) {
        n->at[side].last = word;
        n->at[side].words++;
        s->made[s->made_count++] = (struct made) { id, word, side };
    }
}

/* The neighbour before is one that this pass has been over already, that behind it not yet. */
static void merge_word(struct state *s, const struct entry *e, uint32_t new, uint32_t word)
{
    const struct learned_token *tokens = s->learned->tokens;
    uint32_t *symbols = s->symbols + s->start[word], n = s->length[word], used = 0;
    size_t n_new = tokens[new].n;
    for (uint32_t i = 0; i < n; i++) {
        if (symbols[i] != e->left || i + 1 == n || symbols[i + 1] != e->right) {
            symbols[used++] = symbols[i];
            continue;
        }
        i++;
        if (used > 0) {
            uint32_t before = symbols[used - 1];
            change(s, before, BEFORE, word, tokens[before].n + n_new < s->length_limit);
        }
        symbols[used++] = new;
        if (i + 1 < n) {
            uint32_t behind = symbols[i + 1];
            change(s, behind, BEHIND, word, tokens[behind].n + n_new < s->length_limit);
        }
    }
    s->length[word] = used;
}

/* Room for what merging in these words may touch, so that merge_word cannot fail. */
static int make_room(struct state *s, const struct entry *e, struct error *err)
{
    size_t made = 0, before = s->neighbour_capacity;
    for (uint32_t i = 0; i < e->n; i++)
        made += s->length[s->places[e->places + i]];
    int rc = budget_grow(s->budget, &s->made, &s->made_capacity, made, sizeof *s->made, err);
    if (rc == 0)
        rc = budget_grow(s->budget, &s->touched, &s->touched_capacity, s->learned->token_count, sizeof *s->touched,
            err);
    if (rc == 0)
        rc = budget_grow(s->budget, &s->neighbours, &s->neighbour_capacity, s->learned->token_count,
            sizeof *s->neighbours, err);
    if (rc == 0 && s->neighbour_capacity > before)
        memset(s->neighbours + before, 0, (s->neighbour_capacity - before) * sizeof *s->neighbours);
    return rc;
}

/* The new token beside itself is one pair, whichever of the two was there first. */
static void join_twins(struct state *s, uint32_t new)
{
    struct neighbour *n = &s->neighbours[new];
    if (!n->touched || n->at[BEHIND].made == 0)
        return;
    n->at[BEFORE].made += n->at[BEHIND].made;
    n->at[BEFORE].words += n->at[BEHIND].words;
    n->at[BEHIND].made = n->at[BEHIND].words = 0;
    for (size_t i = 0; i < s->made_count; i++)
        if (s->made[i].id == new)
            s->made[i].side = BEFORE;
}

/* Counts of the pairs with each neighbour. */
static int apply(struct state *s, const struct entry *e, uint32_t new, struct error *err)
{
    int rc = 0;
    uint32_t pair;
    for (size_t i = 0; rc == 0 && i < s->touched_count; i++) {
        uint32_t id = s->touched[i];
        const struct neighbour *n = &s->neighbours[id];
        if (n->at[BEFORE].lost)
            rc = add_count(s, id, e->left, -n->at[BEFORE].lost, &pair, err);
        if (rc == 0 && n->at[BEHIND].lost)
            rc = add_count(s, e->right, id, -n->at[BEHIND].lost, &pair, err);
        if (rc == 0 && n->at[BEFORE].made)
            rc = add_count(s, id, new, n->at[BEFORE].made, &pair, err);
        if (rc == 0 && n->at[BEHIND].made)
            rc = add_count(s, new, id, n->at[BEHIND].made, &pair, err);
    }
    return rc;
}

static int queue_side(struct state *s, uint32_t id, enum side side, uint32_t new, struct error *err)
{
    struct neighbour *n = &s->neighbours[id];
    uint32_t pair, words = n->at[side].words;
    n->at[side].places = SIZE_MAX;
    if (words == 0)
        return 0;
    int rc = add_count(s, side == BEFORE ? id : new, side == BEFORE ? new : id, 0, &pair, err);
    if (rc || s->pairs[pair].count <= 0)
        return rc;
    n->at[side].places = s->place_count;
    s->place_count += words;
    return push(s, pair, n->at[side].places, words, err);
}

/* Pairs that were made come into the queue, all counts being known. */
static int queue_made(struct state *s, uint32_t new, struct error *err)
{
    int rc = budget_grow(s->budget, &s->places, &s->place_capacity, s->place_count + s->made_count, sizeof *s->places,
        err);
    for (size_t i = 0; rc == 0 && i < s->touched_count; i++) {
        rc = queue_side(s, s->touched[i], BEFORE, new, err);
        if (rc == 0)
            rc = queue_side(s, s->touched[i], BEHIND, new, err);
    }
    for (size_t i = 0; rc == 0 && i < s->made_count; i++) {
        struct made *m = &s->made[i];
        size_t *places = &s->neighbours[m->id].at[m->side].places;
        if (*places != SIZE_MAX)
            s->places[(*places)++] = m->word;
    }
    return rc;
}

static int merge(struct state *s, const struct entry *e, uint32_t new, struct error *err)
{
    int rc = make_room(s, e, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < e->n; i++)
        merge_word(s, e, new, s->places[e->places + i]);
    join_twins(s, new);
    rc = apply(s, e, new, err);
    if (rc == 0)
        rc = queue_made(s, new, err);
    for (size_t i = 0; i < s->touched_count; i++)
        s->neighbours[s->touched[i]] = (struct neighbour) { .touched = false };
    s->touched_count = s->made_count = 0;
    return rc;
}

/* -- all merges -- */

static int put_joined(struct state *s, const struct entry *e, uint32_t *new, struct error *err)
{
    struct learned *l = s->learned;
    const struct learned_token *left = &l->tokens[e->left], *right = &l->tokens[e->right];
    char joined[PIECE_BYTES_MAX];
    size_t n = left->n + right->n;
    if (n > sizeof joined) /* none but two bytes or pairs within length_limit come here */
        return error_set(err, ERROR_LIMIT, "a token of %zu bytes is above the limit of %d", n, PIECE_BYTES_MAX);
    memcpy(joined, left->bytes, left->n);
    memcpy(joined + left->n, right->bytes, right->n);
    int rc = learned_put(l, joined, n, new, err);
    if (rc == 0)
        rc = budget_grow(s->budget, &l->merges, &l->merge_capacity, l->merge_count + 1, sizeof *l->merges, err);
    if (rc == 0)
        l->merges[l->merge_count++] = (struct learned_merge) { { e->left, e->right }, false };
    return rc;
}

static int run(struct state *s, const struct bpe_training_options *o, struct error *err)
{
    struct learned *l = s->learned;
    struct entry e;
    int rc = 0;
    while (rc == 0 && l->token_count < (uint32_t)o->vocabulary && pop(s, o->frequency_min, &e)) {
        uint32_t new;
        rc = put_joined(s, &e, &new, err);
        if (rc == 0)
            rc = merge(s, &e, new, err);
        if (rc == 0 && o->progress && l->merge_count % REPORT_MERGES == 1
            && !o->progress(o->context, l->token_count, (uint64_t)o->vocabulary))
            rc = error_set(err, ERROR_CANCELLED, "stopped after %zu merges", l->merge_count);
    }
    return rc;
}

static void state_release(struct state *s)
{
    struct budget *b = s->budget;
    budget_return(b, &s->symbols, &s->symbols_capacity, sizeof *s->symbols);
    budget_return(b, &s->length, &s->length_capacity, sizeof *s->length);
    budget_return(b, &s->start, &s->start_capacity, sizeof *s->start);
    budget_return(b, &s->counts, &s->counts_capacity, sizeof *s->counts);
    budget_return(b, &s->pairs, &s->pair_capacity, sizeof *s->pairs);
    budget_return(b, &s->slots, &s->slot_count, sizeof *s->slots);
    budget_return(b, &s->queue, &s->queue_capacity, sizeof *s->queue);
    budget_return(b, &s->places, &s->place_capacity, sizeof *s->places);
    budget_return(b, &s->neighbours, &s->neighbour_capacity, sizeof *s->neighbours);
    budget_return(b, &s->touched, &s->touched_capacity, sizeof *s->touched);
    budget_return(b, &s->made, &s->made_capacity, sizeof *s->made);
}

int learn_merges(struct learned *l, struct words *shards, const struct bpe_training_options *o, struct budget *budget,
    struct error *err)
{
    size_t limit = o->length_limit ? o->length_limit : PIECE_BYTES_MAX + 1;
    struct state s = { .learned = l, .budget = budget,
        .length_limit = limit < PIECE_BYTES_MAX + 1 ? limit : PIECE_BYTES_MAX + 1 };
    int rc = 0;
    for (int i = 0; rc == 0 && i < SHARDS; i++)
        rc = take_words(&s, &shards[i], err);
    if (rc == 0)
        rc = queue_first(&s, err);
    if (rc == 0)
        rc = run(&s, o, err);
    l->words = s.words;
    for (size_t i = 0; rc == 0 && i < s.words; i++)
        l->text_tokens += s.counts[i] * s.length[i];
    state_release(&s);
    return rc;
}
