/* SPDX-License-Identifier: Apache-2.0 */
/* How numbers are stored. One file per format in tensor/format/, each ending in its descriptor; a tensor's type is the
 * pointer to it. With encode and decode alone a format loads, runs, quantizes and is tested; `dots` makes it fast. */
#ifndef WAZN_TENSOR_FORMAT_H
#define WAZN_TENSOR_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Every format, in the order of the list `formats`. The last three store activations and are never found in files. */
#define FORMATS(X) \
    X(f32) X(f16) X(bf16) X(f8_e4m3) X(q4_0) X(q4_1) X(q5_0) X(q5_1) X(q8_0) X(q2_k) X(q3_k) X(q4_k) X(q5_k) X(q6_k) \
    X(iq4_nl) X(mxfp4) X(q8_1) X(q8_k)

enum format_id {
#define X(name) FORMAT_##name,
    FORMATS(X)
#undef X
    FORMAT_COUNT
};

/* Rows times rows: y[c * y_stride + r] = sum over k < n of w(r, k) * x(c, k), for r < rows, c < count.
 * w: `rows` encoded rows, w_stride bytes apart. x: `count` rows encoded in the format's pair, x_stride bytes apart.
 * n: values in a row, a multiple of the block. y_stride: floats.
 * The arithmetic of one output (its order, its roundings) does not depend on rows, count, r or c: a token's result must
 * not depend on what shares the batch, nor on how rows are dealt to threads. Nothing outside the inputs is read. */
typedef void dots_fn(float *y, size_t y_stride, const void *w, size_t w_stride, int rows, const void *x,
    size_t x_stride, int count, int n);

/* Memory that will be read soon: it is asked for, a little at a time, while something else is computed. */
struct dots_ahead {
    const void *at; /* need not be readable */
    size_t bytes;   /* 0: nothing */
    size_t lines;   /* at a time; the callee sees to it */
};

/* The same products, bit for bit, where many columns share the weights: rows are laid out anew, `rows` at a time as a
 * panel, and columns each on its own, so that the product itself has nothing left to do but multiply and add. */
struct dots_panels {
    int rows;        /* of a panel, at most */
    int columns_min; /* with fewer, the version's `run` is faster */
    size_t (*panel_bytes)(int n);
    size_t (*column_bytes)(int n); /* a multiple of 4; columns start at multiples of 4 */
    void (*pack_rows)(void *panel, const void *w, size_t w_stride, int rows, int n); /* panel: 64-byte aligned */
    void (*pack_column)(void *column, const void *x, int n);                         /* x: one row in the pair */
    /* y as in dots_fn; columns x_stride bytes apart. ahead: what will be packed next. */
    void (*multiply)(float *y, size_t y_stride, const void *panel, int rows, const void *columns, size_t x_stride,
        int count, int n, struct dots_ahead ahead);
};

struct dots_version {
    const char *name; /* "avx512_vnni" */
    unsigned needs;   /* enum cpu_feature bits */
    dots_fn *run;
    const struct dots_panels *panels; /* NULL: none */
};

struct format {
    const char *name; /* "q4_0": on the command line, in errors, in test names */
    enum format_id id;
    int block, block_bytes; /* values and bytes of one block */
    /* out: n / block blocks. importance: one weight per value for the rounding search, or NULL. NULL member: wazn only
     * reads this format. Non-finite input encodes to something finite or NaN, never traps. */
    void (*encode)(void *out, const float *in, const float *importance, int64_t n);
    void (*decode)(float *out, const void *in, int64_t n); /* exact: the reference decoders' float32 values */
    enum format_id pair;                                    /* what activations are encoded to before dots */
    const struct dots_version *dots; /* best first, the last is plain C and needs nothing; NULL: decode, then f32 */
};

#define X(name) extern const struct format format_##name;
FORMATS(X)
#undef X

extern const struct format *const formats[FORMAT_COUNT];

/* By name ("q4_0", any case), or NULL. */
const struct format *format_find(const char *name);

/* Bytes of a row of n values (n a multiple of the block). */
static inline size_t format_row_bytes(const struct format *f, int64_t n)
{
    return (size_t)(n / f->block) * (size_t)f->block_bytes;
}

#endif
