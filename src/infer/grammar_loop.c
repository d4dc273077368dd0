/* SPDX-License-Identifier: Apache-2.0 */
/* Parts that call themselves before they read a byte: no automaton gets anywhere with them. */
#include "infer/grammar_impl.h"

#include <stdlib.h>

enum colour { UNSEEN, OPEN, DONE };

struct walk {
    const struct grammar *g;
    uint8_t *colour;
    uint32_t *path, *turn; /* the nodes that lead here, and which way of each is next */
};

/* The way number `turn` out of a node without reading; false: there are no more. */
static bool way_of(const struct grammar *g, const struct node *n, uint32_t turn, uint32_t *to)
{
    if (n->kind == NODE_SPLIT && turn < n->count) {
        *to = g->edges[n->edges + turn].target;
        return true;
    }
    *to = n->body;
    return n->kind == NODE_CALL && turn == 0;
}

/* What is called on a circle that can be reached from `from`, or 0. */
static uint32_t walk_from(struct walk *w, uint32_t from)
{
    uint32_t depth = 0, to;
    w->path[0] = from;
    w->turn[0] = 0;
    w->colour[from] = OPEN;
    for (;;) {
        uint32_t node = w->path[depth];
        if (!way_of(w->g, &w->g->nodes[node], w->turn[depth]++, &to)) {
            w->colour[node] = DONE;
            if (depth-- == 0)
                return 0;
        } else if (w->colour[to] == OPEN) {
            /* Only a call leads back to what was built before. */
            while (w->g->nodes[w->path[depth]].kind != NODE_CALL)
                depth--;
            return w->g->nodes[w->path[depth]].body;
        } else if (w->colour[to] == UNSEEN) {
            w->colour[to] = OPEN;
            w->path[++depth] = to;
            w->turn[depth] = 0;
        }
    }
}

int grammar_find_loop(const struct grammar *g, uint32_t *loop, struct error *err)
{
    struct walk w = { .g = g, .colour = calloc(g->n_nodes, 1), .path = calloc(g->n_nodes, sizeof *w.path),
        .turn = calloc(g->n_nodes, sizeof *w.turn) };
    int rc = 0;
    *loop = 0;
    if (!w.colour || !w.path || !w.turn)
        rc = error_memory(err, g->n_nodes * 9ull, "the order of a grammar");
    for (uint32_t i = 0; rc == 0 && i < g->n_nodes && *loop == 0; i++)
        if (w.colour[i] == UNSEEN)
            *loop = walk_from(&w, i);
    free(w.colour);
    free(w.path);
    free(w.turn);
    return rc;
}
