/* SPDX-License-Identifier: Apache-2.0 */
/* What a model computes on its way through a text, written down: a safetensors file with
 *
 *    ids        I32 or I64  (tokens)
 *    embedding  F32         (tokens, dim)         what the first layer reads; may be missing
 *    layer.N    F32         (tokens, dim)         the residual stream behind layer N, before any final norm
 *    logits     F32         (tokens, vocabulary)
 *
 * and metadata "made_by". tools/golden/trace.py writes it from reference frameworks, `wazn logits --layers` from wazn;
 * `wazn selftest --reference` compares.
 *
 * How a layer is judged. The model runs three times side by side, in one pass:
 *
 *    carried  from its own values all the way: what a user gets;
 *    own      every layer starts from the reference's values, so an error stays in the layer that makes it;
 *    moved    like own, but each number x that a layer starts from is x (1 + e) or x (1 - e), signs drawn by a seed.
 *
 * A layer agrees at a token where |own - reference| <= |moved - own| (lengths of vectors): it may be off by as much as
 * it changes when its input moves by e. That bound scales with what the layer does to rounding errors (large scores,
 * sums that cancel, a choice of experts that hangs by a hair), which no constant could.
 *
 * e is what rounding may do: u (6 sqrt(n) + position / 2) with u = 2^-24 and n the terms of the layer's longest sum.
 * Roundings of a sum of n terms grow like sqrt(n) (Higham and Mary 2019); 6: some dozen such sums follow each other
 * here and as many in the reference, their errors added as independent ones are, with room; position / 2: references
 * round rope's angles to float32, so what is rotated at position p is off by up to p roundings in the fastest of its
 * pairs, by less in the others. Quantized weights are the same numbers on both sides and cost nothing. Where products
 * are taken with activations rounded to 8 bits, e grows by 4 s / sqrt(12): rounding to steps of s is off by at most
 * s / sqrt(12) of the length of what is rounded, a layer rounds four times (before q k v, out, gate and up, down),
 * which is twice as far, and as much again is room: one draw of signs stands for all. Whole numbers have steps of 1/127
 * of the largest of b values: s = sqrt(b) / 127. bf16, with its 8 significant bits, has steps of at most 2^-7 of each
 * value: s = 2^-7. */
#ifndef WAZN_INFER_TRACE_H
#define WAZN_INFER_TRACE_H

#include "base/buffer.h"
#include "base/error.h"
#include "infer/session.h"
#include "model/model.h"

#include <stdbool.h>
#include <stdint.h>

/* What a trace holds. */
struct trace_values {
    int tokens;
    const int32_t *ids;              /* (tokens) */
    const float *embedding;          /* (tokens, dim); NULL: missing */
    const float **layers;            /* (layers) of (tokens, dim) */
    const float *logits;             /* (tokens, vocabulary) */
    const char *made_by;             /* NULL: untold */
};

/* Whole or not at all. */
int trace_write(const char *path, const struct spec *s, const struct trace_values *v, struct error *err);

struct trace; /* a file, mapped */

/* ERROR_FORMAT for a file that is none or has not this model's layers, sizes and vocabulary; ERROR_LIMIT for more
 * tokens than the model's context. */
int trace_open(struct trace **out, const char *path, const struct spec *s, struct error *err);
void trace_close(struct trace *t);
const struct trace_values *trace_values(const struct trace *t);

/* One step of the way: the embedding, a layer, the logits. Errors are shares of the reference's length. */
struct trace_step {
    double carried;     /* largest over all tokens */
    double share;       /* largest own / allowed; the rest is of the token that has it */
    double own, allowed;
    int token, element; /* element: farthest off at that token */
    float have, want;   /* its value here and in the reference */
};

static inline bool trace_agrees(const struct trace_step *s)
{
    return s->share <= 1; /* false for NaN */
}

/* "embedding", "layer 3", "logits": of step i of layers + 2. */
const char *trace_step_name(char text[32], int i, int layers);

/* How far the model's products round activations on this machine: the largest s (see above), 0 for not at all; names of
 * the weights' formats go to `names` (may be NULL). */
double trace_rounding(const struct model *m, struct buffer *names);

/* Compare; steps: (layers + 2). A missing embedding leaves step 0 zeroed. Keys and values are kept in float32. */
int trace_compare(struct trace_step *steps, const struct model *m, const struct trace_values *reference, int threads,
    const struct session_watch *watch, struct error *err);

#endif
