/* SPDX-License-Identifier: Apache-2.0 */
/* The keys and values one sequence keeps. Layers with a window keep rings. */
#ifndef WAZN_MODEL_KV_H
#define WAZN_MODEL_KV_H

#include "base/arena.h"
#include "base/error.h"
#include "backend/backend.h"
#include "model/spec.h"

struct kv_options {
    const struct format *format; /* f32, f16, bf16, q8_0 */
    int context;                 /* positions kept by layers without a window */
    int tokens_max;              /* most tokens of this sequence in one pass */
};

struct kv {
    struct kv_layer *layers; /* (spec layers) */
    const struct format *format;
    int n_layers, context, tokens_max;
    int ring;      /* slots of the smallest ring; 0: no layer forgets */
    int length;    /* positions held: 0 .. length - 1 (of a ring: the last of them) */
    int kept_from; /* rings hold every position from here to length - 1 */
};

/* What rings hold of the positions that a token at `length` sees: a place to come back to after they have moved on. */
struct kv_mark {
    int length;           /* -1: nothing */
    unsigned char *rows;  /* (ring layers; k, v; kv_heads; window - 1) encoded rows */
};

/* 0; ERROR_UNSUPPORTED where the format cannot hold a head (head_dim not a multiple of its block) or is none for
 * caches; ERROR_LIMIT where a model with learned positions has fewer than `context`; ERROR_USAGE for sizes under 1. */
int kv_check(const struct spec *spec, const struct kv_options *options, struct error *err);
/* Twice, as arena.h says. Options must have passed kv_check. */
void kv_layout(struct kv *kv, const struct spec *spec, const struct kv_options *options, struct arena *a);

/* Longest prefix, at most `length`, to which the cache can be cut back: what a session may reuse. 0 where a ring has
 * forgotten positions that a token behind the prefix would see. */
int kv_reusable(const struct kv *kv, const struct spec *spec, int length);
void kv_cut(struct kv *kv, int length);  /* to what kv_reusable allows, or 0 */
void kv_grow(struct kv *kv, int tokens); /* a pass has stored them */

/* `to` holds what `from` does; both were laid out with the same options. */
void kv_copy(struct kv *to, const struct kv *from, const struct spec *spec);

/* Twice, as arena.h says; the kv must be laid out. */
void kv_mark_layout(struct kv_mark *m, const struct kv *kv, const struct spec *spec, struct arena *a);
void kv_mark_save(struct kv_mark *m, const struct kv *kv, const struct spec *spec);
/* Back to the mark; positions before it must be those it was saved behind. */
void kv_mark_restore(const struct kv_mark *m, struct kv *kv, const struct spec *spec);

/* Bytes that attention reads for one token behind `length` positions. */
uint64_t kv_read_bytes(const struct spec *spec, const struct format *format, int length);

#endif
