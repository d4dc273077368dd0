/* SPDX-License-Identifier: Apache-2.0 */
/* Scratch of a flow, shared by the operations of this folder. Each operation uses it from start to end and leaves
 * nothing in it. */
#ifndef WAZN_BACKEND_CPU_FLOW_IMPL_H
#define WAZN_BACKEND_CPU_FLOW_IMPL_H

#include "backend/backend.h"
#include "backend/cpu/matmul.h"
#include "kernel/kernel.h"

#define DECODED_ROWS 8       /* weight rows a thread decodes at a time, of formats without dots */
#define PART_MAX 1024        /* values of a bias that a thread decodes at a time */
#define ENCODED_ALIGN 64     /* of the encoded activations of a product */
#define PARTIAL_TOKENS 64    /* tokens whose gradients of a norm's gain are summed apart */

struct flow_scratch {
    struct flow_shape shape;
    unsigned char *encoded; /* activations in the pair of a weight's format */
    size_t encoded_bytes;
    float *gain, *bias;           /* (width_max) a norm's, decoded */
    float *sinks;                 /* (heads) */
    struct attention_tile *tiles; /* (tokens_max) */
    float *partials;              /* (attention_partials) */

    /* One per thread, strides in floats. */
    float *rows; /* (DECODED_ROWS, widest input of any product); or one encoded row */
    size_t rows_stride;
    float *panel; /* of any format's, the largest */
    size_t panel_stride;
    float *part; /* (PART_MAX) and room for the rest of two blocks */
    size_t part_stride;
    float *attention;
    size_t attention_stride;

    /* What lies beside weights; rows are tokens or slots. */
    float *inner, *inner_gradient; /* (rows, rank_max): scale A x, and when training its gradient */
    float *dropped;                /* (rows, cols) x without what is left out, then its gradient */
    float *stretched;              /* (tokens_max, outputs of any linear) */
    struct tensor *beside_tensors; /* (experts) */

    /* Experts. A slot is one token's use of one expert; slots are sorted by expert. */
    float *router;           /* (tokens_max, experts) */
    int32_t *chosen;         /* (tokens_max, experts_used), rising */
    float *weights;          /* beside chosen */
    int32_t *slots;          /* beside chosen */
    int32_t *expert_first;   /* (experts + 1): its first slot */
    struct matmul *expert_jobs; /* (2 experts) */
    float *slot_x;           /* (slots, dim): inputs, then outputs */
    float *slot_gate, *slot_up; /* (slots, expert_ffn) */

    /* Training. */
    float *gain_parts, *bias_parts; /* (tokens_max / PARTIAL_TOKENS rounded up, width_max) */
    float *query_dots;              /* (tokens_max, heads) */
    float *backward;                /* one per thread: what the backward of a product or of attention takes */
    size_t backward_stride;
    struct matmul_backward *expert_backward_jobs; /* (experts) */
    float *router_gradient;                       /* (tokens_max, experts) */
    float *slot_dy;                               /* (slots, dim) */
    float *slot_act, *slot_dact;                  /* (slots, expert_ffn) */
    float *slot_dgate, *slot_dup;                 /* (slots, expert_ffn) */
};

static inline float *scratch_of(float *all, size_t stride, int thread)
{
    return all + (size_t)thread * stride;
}

/* Values [first, first + n) of a row as floats: in place where they are stored so, else decoded into `buffer`,
 * which has room for n values and the rest of two blocks. */
const float *tensor_part(const struct tensor *t, int64_t row, int64_t first, int64_t n, float *buffer);

/* Whole rows [first, first + rows), one behind the other. */
void tensor_decode_rows(float *out, const struct tensor *t, int64_t first, int rows);

#endif
