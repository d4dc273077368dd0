/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/grammar_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 1000000u
#define EDGES_MAX 4000000u

int builder_fail(struct builder *b, int code, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list list;
    if (b->rc)
        return b->rc;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return b->rc = error_set(b->err, code, "%s", text);
}

/* Room for one more of *count things. */
static bool grow(struct builder *b, void **data, uint32_t *capacity, uint64_t wanted, uint32_t most, size_t size)
{
    if (b->rc)
        return false;
    if (wanted > most) {
        builder_fail(b, ERROR_LIMIT, "the schema needs a grammar of more than %u nodes or %u edges", NODES_MAX,
            EDGES_MAX);
        return false;
    }
    if (wanted <= *capacity)
        return true;
    uint64_t more = wanted > 2 * (uint64_t)*capacity ? wanted : 2 * (uint64_t)*capacity;
    void *moved = realloc(*data, more * size);
    if (!moved) {
        b->rc = error_memory(b->err, more * size, "a grammar");
        return false;
    }
    *data = moved;
    *capacity = (uint32_t)more;
    return true;
}

static uint32_t add_node(struct builder *b, struct node node)
{
    struct grammar *g = b->g;
    void *nodes = g->nodes;
    bool fits = grow(b, &nodes, &g->nodes_capacity, (uint64_t)g->n_nodes + 1, NODES_MAX, sizeof node);
    g->nodes = nodes;
    if (!fits)
        return NODE_THE_END;
    g->nodes[g->n_nodes] = node;
    return g->n_nodes++;
}

static bool add_edges(struct builder *b, uint32_t count)
{
    struct grammar *g = b->g;
    void *edges = g->edges;
    bool fits = grow(b, &edges, &g->edges_capacity, (uint64_t)g->n_edges + count, EDGES_MAX, sizeof *g->edges);
    g->edges = edges;
    return fits;
}

int builder_init(struct builder *b, struct grammar *g, struct error *err)
{
    *b = (struct builder) { .g = g, .err = err };
    add_node(b, (struct node) { .kind = NODE_END });
    return b->rc;
}

uint32_t build_bytes(struct builder *b, const struct edge *edges, uint32_t count)
{
    struct grammar *g = b->g;
    if (!add_edges(b, count))
        return NODE_THE_END;
    if (count > 0)
        memcpy(g->edges + g->n_edges, edges, count * sizeof *edges);
    g->n_edges += count;
    return add_node(b, (struct node) { .kind = NODE_BYTES, .edges = g->n_edges - count, .count = count });
}

uint32_t build_split(struct builder *b, const uint32_t *targets, uint32_t count)
{
    struct grammar *g = b->g;
    if (!add_edges(b, count))
        return NODE_THE_END;
    for (uint32_t i = 0; i < count; i++)
        g->edges[g->n_edges++] = (struct edge) { .target = targets[i] };
    return add_node(b, (struct node) { .kind = NODE_SPLIT, .edges = g->n_edges - count, .count = count });
}

uint32_t build_either(struct builder *b, uint32_t x, uint32_t y)
{
    return build_split(b, (const uint32_t[]) { x, y }, 2);
}

uint32_t build_byte(struct builder *b, unsigned char byte, uint32_t next)
{
    return build_bytes(b, &(struct edge) { .target = next, .low = byte, .high = byte }, 1);
}

uint32_t build_text(struct builder *b, const char *text, size_t n, uint32_t next)
{
    while (n-- > 0 && b->rc == 0)
        next = build_byte(b, (unsigned char)text[n], next);
    return next;
}

uint32_t build_call(struct builder *b, uint32_t body, uint32_t next)
{
    return add_node(b, (struct node) { .kind = NODE_CALL, .body = body, .next = next });
}

uint32_t build_repeat(struct builder *b, uint32_t body, uint32_t again, uint32_t least, uint32_t most, uint32_t next)
{
    return add_node(b, (struct node) { .kind = NODE_REPEAT, .body = body, .again = again, .least = least, .most = most,
        .next = next });
}

uint32_t build_promise(struct builder *b)
{
    return build_split(b, (const uint32_t[]) { NODE_THE_END }, 1);
}

void build_keep(struct builder *b, uint32_t promise, uint32_t target)
{
    if (b->rc == 0)
        b->g->edges[b->g->nodes[promise].edges].target = target;
}

/* ---- how many frames the end takes: Knuth's generalisation of Dijkstra's algorithm (1977), by buckets ---- */

struct needs {
    struct grammar *g;
    uint32_t *first, *users; /* who depends on node i: users[first[i] .. first[i + 1]) */
    uint8_t *waits;          /* nodes that node i still waits for */
    uint32_t *queue, *link;  /* queue[need]: first node of that need, link: the next one; 0: none */
};

/* What a node depends on, in order; a SPLIT or BYTES node on any of them, the others on all. */
static uint32_t dependency(const struct grammar *g, const struct node *n, uint32_t i)
{
    const uint32_t call[] = { n->body, n->next };
    const uint32_t repeat[] = { n->next, n->body, n->again };
    if (n->kind == NODE_CALL)
        return call[i];
    return n->kind == NODE_REPEAT ? repeat[i] : g->edges[n->edges + i].target;
}

static uint32_t dependencies(const struct node *n)
{
    if (n->kind == NODE_CALL)
        return 2;
    if (n->kind == NODE_REPEAT)
        return n->least == 0 ? 1 : n->least == 1 ? 2 : 3;
    return n->count;
}

static void index_users(struct needs *x)
{
    const struct grammar *g = x->g;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0, n = dependencies(&g->nodes[i]); k < n; k++)
            x->first[dependency(g, &g->nodes[i], k) + 1]++;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        x->first[i + 1] += x->first[i];
    uint32_t total = x->first[g->n_nodes];
    for (uint32_t i = g->n_nodes; i-- > 0;)
        for (uint32_t k = dependencies(&g->nodes[i]); k-- > 0;)
            x->users[--x->first[dependency(g, &g->nodes[i], k) + 1]] = i;
    /* first[i + 1] is now where the users of i begin */
    memmove(x->first, x->first + 1, g->n_nodes * sizeof *x->first);
    x->first[g->n_nodes] = total;
}

static uint32_t max_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* The need of a node whose dependencies are settled (of a SPLIT or BYTES node: of which `by` is). */
static uint32_t settle(const struct grammar *g, const struct node *n, uint32_t by)
{
    uint32_t need = by;
    if (n->kind == NODE_CALL)
        need = max_of(g->nodes[n->body].need + 1u, g->nodes[n->next].need);
    if (n->kind == NODE_REPEAT) {
        need = g->nodes[n->next].need;
        if (n->least >= 1)
            need = max_of(need, g->nodes[n->body].need + 1u);
        if (n->least >= 2)
            need = max_of(need, g->nodes[n->again].need + 1u);
    }
    return need;
}

static void reach(struct needs *x, uint32_t node, uint32_t need)
{
    struct grammar *g = x->g;
    g->nodes[node].need = (uint16_t)need;
    for (uint32_t u = x->first[node]; u < x->first[node + 1]; u++) {
        uint32_t user = x->users[u];
        const struct node *n = &g->nodes[user];
        if (x->waits[user] == 0 || --x->waits[user] > 0)
            continue;
        uint32_t its = settle(g, n, need);
        if (its > FRAMES_MAX)
            continue;
        x->link[user] = x->queue[its];
        x->queue[its] = user;
    }
}

static void settle_all(struct needs *x)
{
    struct grammar *g = x->g;
    index_users(x);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const struct node *n = &g->nodes[i];
        bool all = n->kind == NODE_CALL || n->kind == NODE_REPEAT;
        g->nodes[i].need = NEED_DEAD;
        x->waits[i] = (uint8_t)(all ? dependencies(n) : n->count > 0);
    }
    reach(x, NODE_THE_END, 0);
    for (uint32_t need = 0; need <= FRAMES_MAX; need++) {
        while (x->queue[need]) {
            uint32_t node = x->queue[need];
            x->queue[need] = x->link[node];
            reach(x, node, need);
        }
    }
}

int grammar_finish(struct builder *b, uint32_t start)
{
    struct grammar *g = b->g;
    struct needs x = { .g = g };
    if (b->rc)
        return b->rc;
    g->start = start;
    x.first = calloc((size_t)g->n_nodes + 2, sizeof *x.first);
    x.users = calloc((size_t)g->n_edges + 3 * (size_t)g->n_nodes + 1, sizeof *x.users);
    x.waits = calloc(g->n_nodes, sizeof *x.waits);
    x.queue = calloc(FRAMES_MAX + 1, sizeof *x.queue);
    x.link = calloc(g->n_nodes, sizeof *x.link);
    if (!x.first || !x.users || !x.waits || !x.queue || !x.link)
        b->rc = error_memory(b->err, g->n_nodes * 20ull, "the depths of a grammar");
    else
        settle_all(&x);
    free(x.first);
    free(x.users);
    free(x.waits);
    free(x.queue);
    free(x.link);
    if (b->rc == 0 && g->nodes[start].need > FRAMES_MAX)
        builder_fail(b, ERROR_UNSUPPORTED, "no finite JSON value of reasonable depth is valid under the schema");
    return b->rc;
}

void grammar_close(struct grammar *g)
{
    if (!g)
        return;
    free(g->nodes);
    free(g->edges);
    free(g);
}
