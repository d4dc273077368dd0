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
    int n_layers, context, tokens_max;
    int length;  /* positions held: 0 .. length - 1 (of a ring: the last of them). Cut back by setting it, to what
                    kv_reusable allows */
    int reached; /* most it has held since it was empty: rings have forgotten what is a capacity behind. pass_run's */
};

/* 0; ERROR_UNSUPPORTED where the format cannot hold a head (head_dim not a multiple of its block) or is none for
 * caches; ERROR_LIMIT where a model with learned positions has fewer than `context`; ERROR_USAGE for sizes under 1. */
int kv_check(const struct spec *spec, const struct kv_options *options, struct error *err);
/* Twice, as arena.h says. Options must have passed kv_check. */
void kv_layout(struct kv *kv, const struct spec *spec, const struct kv_options *options, struct arena *a);

/* Longest prefix, at most `length`, to which the cache can be cut back: what a session may reuse. 0 where a ring has
 * forgotten positions that a token behind the prefix would see. */
int kv_reusable(const struct kv *kv, const struct spec *spec, int length);

#endif
