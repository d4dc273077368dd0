/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of a grammar and the functions that build them. Private to src/infer.
 *
 * A grammar is a network of nodes. A thread of the automaton stands at a BYTES node with a stack of frames; all other
 * nodes are passed without reading. Builders work from the end to the beginning: each takes the node that follows and
 * returns the node where its part starts. */
#ifndef WAZN_INFER_GRAMMAR_IMPL_H
#define WAZN_INFER_GRAMMAR_IMPL_H

#include "infer/grammar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum node_kind {
    NODE_END,   /* back to the frame on top; the text is complete where there is none */
    NODE_BYTES, /* edges: read one byte */
    NODE_SPLIT, /* edges: any of their targets */
    NODE_CALL,  /* push a frame, go to `body`; when that ends go to `next` */
    NODE_REPEAT /* `body`, then `again` over and over: `least` to `most` times in all; then `next` */
};

#define REPEAT_FOREVER UINT32_MAX
#define FRAMES_MAX 512        /* deepest stack */
#define NEED_DEAD 0xffffu     /* `need` of a node from which the end cannot be reached */

struct node {
    uint8_t kind;
    bool characters; /* REPEAT of any characters of a string */
    uint16_t need;   /* frames that reaching the end takes at least, from here */
    uint32_t body, again, next;
    uint32_t least, most;  /* REPEAT */
    uint32_t edges, count; /* BYTES, SPLIT */
};

struct edge {
    uint32_t target;
    uint8_t low, high; /* BYTES: the bytes it reads */
};

struct grammar {
    struct node *nodes; /* (n_nodes); 0 is the END shared by all */
    struct edge *edges; /* (n_edges) */
    uint32_t n_nodes, n_edges, nodes_capacity, edges_capacity;
    uint32_t start;
};

/* rc is kept: after a failure builders do nothing and return node 0. */
struct builder {
    struct grammar *g;
    struct error *err;
    int rc;
    uint32_t blank, character, string, any, number, whole; /* shared parts; 0: not built yet */
};

#define NODE_THE_END 0u

int builder_fail(struct builder *b, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int builder_init(struct builder *b, struct grammar *g, struct error *err);
/* Compute `need`, forget what cannot end. ERROR_UNSUPPORTED where nothing can. */
int grammar_finish(struct builder *b, uint32_t start);

/* grammar_loop.c: *loop is a node that gets back to itself through a call without reading a byte, or 0. */
int grammar_find_loop(const struct grammar *g, uint32_t *loop, struct error *err);

/* Edges are copied. */
uint32_t build_bytes(struct builder *b, const struct edge *edges, uint32_t count);
uint32_t build_split(struct builder *b, const uint32_t *targets, uint32_t count);
uint32_t build_either(struct builder *b, uint32_t x, uint32_t y);
uint32_t build_text(struct builder *b, const char *text, size_t n, uint32_t next);
uint32_t build_byte(struct builder *b, unsigned char byte, uint32_t next);
uint32_t build_call(struct builder *b, uint32_t body, uint32_t next);
uint32_t build_repeat(struct builder *b, uint32_t body, uint32_t again, uint32_t least, uint32_t most, uint32_t next);
/* A node to be filled in later, for parts that contain themselves. */
uint32_t build_promise(struct builder *b);
void build_keep(struct builder *b, uint32_t promise, uint32_t target);

/* json_grammar.c: the parts of JSON. */
uint32_t build_blank(struct builder *b, uint32_t next);     /* white space as the policy has it */
uint32_t build_character(struct builder *b);                /* one of a string, ends at the END */
uint32_t build_string(struct builder *b, uint32_t least, uint32_t most, uint32_t next);
uint32_t build_any(struct builder *b, uint32_t next);       /* any JSON value */
uint32_t build_free_number(struct builder *b, bool whole, uint32_t next);
uint32_t build_array(struct builder *b, uint32_t item, uint32_t least, uint32_t most, uint32_t next);

/* A member's name that is none of `names` (sorted; as they stand between quotes), quotes and the colon included. */
uint32_t build_other_name(struct builder *b, const char *const *names, size_t n_names, uint32_t next);

/* schema_words.c: any of these texts; changes their order. */
uint32_t build_words(struct builder *b, char **words, size_t n, uint32_t next);

/* schema_number.c. A bound: 0.DIGITS times ten to the power of `point`; no digits: zero. */
struct decimal {
    bool set, negative, strict; /* strict: the number itself is out */
    int n, point;
    char digits[24];
};
struct number_bounds {
    bool whole;
    struct decimal low, high;
    uint32_t multiple; /* 0: any; else of whole numbers, at most MULTIPLE_MAX */
};
#define MULTIPLE_MAX 1000
struct decimal decimal_of(const json_t *number);
uint32_t build_number(struct builder *b, const struct number_bounds *bounds, uint32_t next);

/* pattern.c: a string (with its quotes) in which a regular expression is found. Spec: ECMA-262, unicode mode. */
uint32_t build_pattern(struct builder *b, const char *pattern, uint32_t next);
/* The expression of a format, or NULL. */
const char *format_pattern(const char *name);

#endif
