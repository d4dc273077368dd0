/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/matcher.h"

#include "base/arena.h"
#include "infer/grammar_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CONFIGURATIONS 8192u
#define FRAMES (1u << 18)
#define THREADS (1u << 18)
#define VISITS 4096u /* nodes looked at behind one byte */
#define VISITS_SPARED 1024u /* for the first way of each choice, when there are too many to look at */
#define UNKNOWN UINT32_MAX

/* A stack is its top frame: equal stacks are the same number. Frame 0 is the empty stack. */
struct frame {
    uint32_t below, node, count, depth;
};

struct thread {
    uint32_t node, stack;
};

struct configuration {
    uint32_t threads, n; /* sorted */
    uint32_t characters;
    bool complete;
};

/* A place to look at: `count` for REPEAT nodes. */
struct visit {
    uint32_t node, stack, count;
};

struct matcher {
    const struct grammar *g;
    struct configuration *configurations; /* (CONFIGURATIONS) 0: dead */
    uint32_t (*steps)[256];               /* (CONFIGURATIONS) where each byte leads */
    struct frame *frames;                 /* (FRAMES) */
    struct thread *threads;               /* (THREADS) */
    uint32_t *by_threads, *by_frame;      /* hash tables of twice as many slots; 0: free */
    uint32_t n_configurations, n_frames, n_threads;
    uint32_t here, epoch;
    struct visit *visits, *queue;  /* (VISITS) seen behind this byte; still to look at */
    uint32_t *seen, n_visits, n_queue; /* (2 * VISITS) hash table of visits: index + 1 */
    struct thread *found;          /* (MATCHER_WAYS) */
    uint32_t n_found, characters;
    bool complete;
    struct buffer kept; /* what is in use while everything else is forgotten */
    struct arena arena;
};

static void layout(struct matcher *m, struct arena *a)
{
    m->configurations = arena_take(a, CONFIGURATIONS, sizeof *m->configurations);
    m->steps = arena_take(a, CONFIGURATIONS, sizeof *m->steps);
    m->frames = arena_take(a, FRAMES, sizeof *m->frames);
    m->threads = arena_take(a, THREADS, sizeof *m->threads);
    m->by_threads = arena_take(a, 2 * CONFIGURATIONS, sizeof *m->by_threads);
    m->by_frame = arena_take(a, 2 * FRAMES, sizeof *m->by_frame);
    m->visits = arena_take(a, VISITS, sizeof *m->visits);
    m->queue = arena_take(a, VISITS, sizeof *m->queue);
    m->seen = arena_take(a, 2 * VISITS, sizeof *m->seen);
    m->found = arena_take(a, MATCHER_WAYS, sizeof *m->found);
}

static uint32_t mix(uint32_t hash, uint32_t value)
{
    hash = (hash ^ value) * 0x9e3779b1u;
    return hash ^ hash >> 15;
}

/* ---- stacks ---- */

/* UNKNOWN: no memory for it. */
static uint32_t push(struct matcher *m, uint32_t below, uint32_t node, uint32_t count)
{
    uint32_t slot = mix(mix(mix(1, below), node), count) & (2 * FRAMES - 1);
    for (; m->by_frame[slot]; slot = (slot + 1) & (2 * FRAMES - 1)) {
        const struct frame *f = &m->frames[m->by_frame[slot]];
        if (f->below == below && f->node == node && f->count == count)
            return m->by_frame[slot];
    }
    if (m->n_frames == FRAMES)
        return UNKNOWN;
    m->frames[m->n_frames] = (struct frame) { below, node, count, m->frames[below].depth + 1 };
    m->by_frame[slot] = m->n_frames;
    return m->n_frames++;
}

/* ---- what can be reached without reading ---- */

static void look_at(struct matcher *m, uint32_t node, uint32_t stack, uint32_t count)
{
    uint32_t slot = mix(mix(mix(2, node), stack), count) & (2 * VISITS - 1);
    /* A way that has no room left to end is no way. */
    if (stack == UNKNOWN || m->frames[stack].depth + m->g->nodes[node].need > FRAMES_MAX || m->n_visits == VISITS)
        return;
    for (; m->seen[slot]; slot = (slot + 1) & (2 * VISITS - 1)) {
        const struct visit *v = &m->visits[m->seen[slot] - 1];
        if (v->node == node && v->stack == stack && v->count == count)
            return;
    }
    m->visits[m->n_visits] = m->queue[m->n_queue++] = (struct visit) { node, stack, count };
    m->seen[slot] = ++m->n_visits;
}

/* How far a count matters. */
static uint32_t count_limit(const struct node *n)
{
    if (n->most != REPEAT_FOREVER)
        return n->most;
    return n->least > 0 ? n->least : n->again != n->body;
}

static void look_at_repeat(struct matcher *m, const struct visit *v)
{
    const struct node *n = &m->g->nodes[v->node];
    if (v->count >= n->least)
        look_at(m, n->next, v->stack, 0);
    if (n->most != REPEAT_FOREVER && v->count >= n->most)
        return;
    uint32_t body = v->count == 0 ? n->body : n->again;
    look_at(m, body, push(m, v->stack, v->node, v->count), 0);
    if (n->characters) {
        uint32_t left = n->most == REPEAT_FOREVER ? UINT32_MAX : n->most - v->count;
        m->characters = left > m->characters ? left : m->characters;
    }
}

static void look_at_end(struct matcher *m, const struct visit *v)
{
    const struct frame *f = &m->frames[v->stack];
    if (v->stack == 0) {
        m->complete = true;
        return;
    }
    const struct node *n = &m->g->nodes[f->node];
    if (n->kind == NODE_CALL)
        look_at(m, n->next, f->below, 0);
    else
        look_at(m, f->node, f->below, f->count < count_limit(n) ? f->count + 1 : f->count);
}

/* All ways of a choice, the first one to be looked at next. */
static void look_at_choice(struct matcher *m, const struct node *n, uint32_t stack)
{
    const struct edge *edges = m->g->edges + n->edges;
    uint32_t best = 0;
    if (m->n_visits + n->count <= VISITS - VISITS_SPARED) {
        for (uint32_t i = n->count; i-- > 0;)
            look_at(m, edges[i].target, stack, 0);
        return;
    }
    for (uint32_t i = 1; i < n->count; i++)
        if (m->g->nodes[edges[i].target].need < m->g->nodes[edges[best].target].need)
            best = i;
    if (n->count > 0)
        look_at(m, edges[best].target, stack, 0);
}

static void look_at_all(struct matcher *m)
{
    const struct grammar *g = m->g;
    while (m->n_queue > 0) {
        struct visit v = m->queue[--m->n_queue];
        const struct node *n = &g->nodes[v.node];
        if (n->kind == NODE_BYTES && m->n_found < MATCHER_WAYS)
            m->found[m->n_found++] = (struct thread) { v.node, v.stack };
        else if (n->kind == NODE_SPLIT)
            look_at_choice(m, n, v.stack);
        else if (n->kind == NODE_CALL)
            look_at(m, n->body, push(m, v.stack, v.node, 0), 0);
        else if (n->kind == NODE_REPEAT)
            look_at_repeat(m, &v);
        else if (n->kind == NODE_END)
            look_at_end(m, &v);
    }
}

/* ---- configurations ---- */

static void begin_set(struct matcher *m)
{
    if (m->n_visits > 0)
        memset(m->seen, 0, 2 * VISITS * sizeof *m->seen);
    m->n_visits = m->n_queue = m->n_found = m->characters = 0;
    m->complete = false;
}

static int by_number(const void *a, const void *b)
{
    const struct thread *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return (x->stack > y->stack) - (x->stack < y->stack);
}

/* The configuration of what was found. */
static uint32_t intern_set(struct matcher *m)
{
    uint32_t hash = mix(3, m->complete);
    if (m->n_found == 0 && !m->complete)
        return MATCHER_DEAD;
    if (m->n_found > 1)
        qsort(m->found, m->n_found, sizeof *m->found, by_number);
    for (uint32_t i = 0; i < m->n_found; i++)
        hash = mix(mix(hash, m->found[i].node), m->found[i].stack);
    uint32_t slot = hash & (2 * CONFIGURATIONS - 1);
    for (; m->by_threads[slot]; slot = (slot + 1) & (2 * CONFIGURATIONS - 1)) {
        const struct configuration *c = &m->configurations[m->by_threads[slot]];
        if (c->n == m->n_found && c->complete == m->complete
            && memcmp(m->threads + c->threads, m->found, c->n * sizeof *m->found) == 0)
            return m->by_threads[slot];
    }
    uint32_t number = m->n_configurations++;
    m->configurations[number] = (struct configuration) { m->n_threads, m->n_found, m->characters, m->complete };
    memcpy(m->threads + m->n_threads, m->found, m->n_found * sizeof *m->found);
    m->n_threads += m->n_found;
    memset(m->steps[number], 0xff, sizeof m->steps[number]);
    m->by_threads[slot] = number;
    return number;
}

static void forget(struct matcher *m)
{
    memset(m->by_threads, 0, 2 * CONFIGURATIONS * sizeof *m->by_threads);
    memset(m->by_frame, 0, 2 * FRAMES * sizeof *m->by_frame);
    m->n_configurations = m->n_frames = 1;
    m->n_threads = 0;
    m->frames[0] = (struct frame) { 0 };
    m->epoch++;
}

static bool is_full(const struct matcher *m)
{
    return m->n_configurations == CONFIGURATIONS || m->n_threads + MATCHER_WAYS > THREADS
        || m->n_frames + VISITS > FRAMES;
}

/* A configuration as words: complete, characters, threads; of each node, frames, and its frames from the top. */
static void write_configuration(const struct matcher *m, uint32_t number, struct buffer *out)
{
    const struct configuration *c = &m->configurations[number];
    const uint32_t head[] = { c->complete, c->characters, c->n };
    buffer_add(out, head, sizeof head);
    for (uint32_t i = 0; i < c->n; i++) {
        const struct thread *t = &m->threads[c->threads + i];
        const uint32_t way[] = { t->node, m->frames[t->stack].depth };
        buffer_add(out, way, sizeof way);
        for (uint32_t s = t->stack; s; s = m->frames[s].below)
            buffer_add(out, (const uint32_t[]) { m->frames[s].node, m->frames[s].count }, 2 * sizeof(uint32_t));
    }
}

static uint32_t read_word(const char **at)
{
    uint32_t word;
    memcpy(&word, *at, sizeof word);
    *at += sizeof word;
    return word;
}

static uint32_t read_configuration(struct matcher *m, const char **at)
{
    begin_set(m);
    m->complete = read_word(at);
    m->characters = read_word(at);
    for (uint32_t n = read_word(at); n > 0; n--) {
        struct thread t = { .node = read_word(at) };
        uint32_t depth = read_word(at);
        const char *bottom = *at + depth * 2 * sizeof(uint32_t);
        for (const char *frame = bottom; depth-- > 0 && t.stack != UNKNOWN;) {
            const char *words = frame -= 2 * sizeof(uint32_t);
            uint32_t node = read_word(&words), count = read_word(&words);
            t.stack = push(m, t.stack, node, count);
        }
        *at = bottom;
        if (t.stack != UNKNOWN)
            m->found[m->n_found++] = t;
    }
    return intern_set(m);
}

/* Keep only where the text stands and path[0 .. n). Where memory for even these is short, they are dead. */
static void make_room(struct matcher *m, uint32_t *path, size_t n)
{
    buffer_clear(&m->kept);
    write_configuration(m, m->here, &m->kept);
    for (size_t i = 0; i < n; i++)
        write_configuration(m, path[i], &m->kept);
    forget(m);
    const char *at = m->kept.data;
    bool kept = !m->kept.failed;
    m->here = kept ? read_configuration(m, &at) : MATCHER_DEAD;
    for (size_t i = 0; i < n; i++)
        path[i] = kept && !is_full(m) ? read_configuration(m, &at) : MATCHER_DEAD;
}

uint32_t matcher_step(struct matcher *m, unsigned char byte, uint32_t *path, size_t n)
{
    uint32_t configuration = path[n - 1];
    if (configuration == MATCHER_DEAD)
        return MATCHER_DEAD;
    uint32_t next = m->steps[configuration][byte];
    if (next != UNKNOWN)
        return next;
    if (is_full(m)) {
        make_room(m, path, n);
        configuration = path[n - 1];
        if (configuration == MATCHER_DEAD)
            return MATCHER_DEAD;
    }
    const struct configuration *c = &m->configurations[configuration];
    begin_set(m);
    for (uint32_t i = 0; i < c->n; i++) {
        const struct thread *t = &m->threads[c->threads + i];
        const struct node *node = &m->g->nodes[t->node];
        for (const struct edge *e = m->g->edges + node->edges, *end = e + node->count; e < end; e++)
            if (e->low <= byte && byte <= e->high)
                look_at(m, e->target, t->stack, 0);
        /* One way after the other: each is followed to its bytes before memory for visits can be short. */
        look_at_all(m);
    }
    next = intern_set(m);
    m->steps[configuration][byte] = next;
    return next;
}

int matcher_open(struct matcher **out, const struct grammar *g, struct error *err)
{
    struct matcher *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m)
        return error_memory(err, sizeof *m, "a matcher");
    m->g = g;
    layout(m, &m->arena);
    int rc = arena_reserve(&m->arena, err);
    if (rc) {
        free(m);
        return rc;
    }
    layout(m, &m->arena);
    matcher_reset(m);
    *out = m;
    return 0;
}

void matcher_close(struct matcher *m)
{
    if (!m)
        return;
    buffer_release(&m->kept);
    arena_release(&m->arena);
    free(m);
}

void matcher_reset(struct matcher *m)
{
    if (m->n_configurations == 0 || is_full(m))
        forget(m);
    begin_set(m);
    look_at(m, m->g->start, 0, 0);
    look_at_all(m);
    m->here = intern_set(m);
}

static uint32_t follow(struct matcher *m, const char *bytes, size_t n)
{
    uint32_t path[1] = { m->here };
    for (size_t i = 0; i < n && path[0] != MATCHER_DEAD; i++)
        path[0] = matcher_step(m, (unsigned char)bytes[i], path, 1);
    return path[0];
}

bool matcher_advance(struct matcher *m, const char *bytes, size_t n)
{
    uint32_t next = follow(m, bytes, n);
    if (next != MATCHER_DEAD)
        m->here = next;
    return next != MATCHER_DEAD;
}

bool matcher_allows(struct matcher *m, const char *bytes, size_t n)
{
    return follow(m, bytes, n) != MATCHER_DEAD;
}

bool matcher_complete(const struct matcher *m)
{
    return m->configurations[m->here].complete;
}

uint32_t matcher_characters(const struct matcher *m)
{
    return m->configurations[m->here].characters;
}

void matcher_save(const struct matcher *m, struct buffer *out)
{
    write_configuration(m, m->here, out);
}

void matcher_restore(struct matcher *m, const char *bytes, size_t n)
{
    const char *at = bytes;
    if (is_full(m))
        forget(m);
    m->here = read_configuration(m, &at);
    assert((size_t)(at - bytes) == n);
}

uint32_t matcher_here(const struct matcher *m)
{
    return m->here;
}

uint32_t matcher_epoch(const struct matcher *m)
{
    return m->epoch;
}
