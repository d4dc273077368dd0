/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: how a matrix product is cut into register tiles, and what the units share. */
#ifndef WAZN_TENSOR_DOTS_TILES_H
#define WAZN_TENSOR_DOTS_TILES_H

#include "tensor/dots/dots.h"

#define TILE_MAX 4 /* most rows and most columns of a tile, where its unit says nothing else */
#define TILE_COLUMNS_MAX 6

/* Outputs of a fixed number of rows and columns, all of k. Arguments as dots_fn, but that the tile's rows, w_stride
 * bytes apart, need not be neighbours: their outputs are y_step floats apart. */
#define TILE_PARAMETERS \
    float *y, size_t y_stride, size_t y_step, const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride, \
        int n
#define TILE_ARGUMENTS y, y_stride, y_step, w, w_stride, x, x_stride, n
typedef void tile_fn(TILE_PARAMETERS);

/* The tiles of one version. The arithmetic of an output is the same in all. */
struct tiles {
    int rows, columns;
    tile_fn *high[TILE_COLUMNS_MAX]; /* rows x (1 + index), of which there are `columns` */
    tile_fn *one;                    /* 1 x 1: for rows that do not make a tile */
};

void dots_by_tiles(const struct tiles *t, float *y, size_t y_stride, const void *w, size_t w_stride, int rows,
    const void *x, size_t x_stride, int count, int n);

/* A tile body is one function with the format and the tile's size as constant parameters; inlined into the
 * tiles it becomes straight code on registers. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Ask the first-level cache for what lies `bytes` behind `at`: as an address, since no pointer may point behind the
 * last row. */
ALWAYS_INLINE void prefetch_behind(const uint8_t *at, size_t bytes)
{
    __builtin_prefetch((const void *)((uintptr_t)at + bytes), 0, 3);
}

/* Where one column passes over weights in memory, each row's bytes are asked for so much earlier than they are used. */
#define AHEAD_BYTES 2048

ALWAYS_INLINE void prefetch(const uint8_t *at)
{
    prefetch_behind(at, AHEAD_BYTES);
}

#define TILE(name, isa, attribute, body, R, C) \
    attribute static void name##_##isa##_##R##_##C(TILE_PARAMETERS) \
    { \
        body(FORMAT_##name, R, C, TILE_ARGUMENTS); \
    }
#define TILES_1(...) TILE(__VA_ARGS__, 1)
#define TILES_2(...) TILES_1(__VA_ARGS__) TILE(__VA_ARGS__, 2)
#define TILES_3(...) TILES_2(__VA_ARGS__) TILE(__VA_ARGS__, 3)
#define TILES_4(...) TILES_3(__VA_ARGS__) TILE(__VA_ARGS__, 4)
#define TILES_6(...) TILES_4(__VA_ARGS__) TILE(__VA_ARGS__, 5) TILE(__VA_ARGS__, 6)
#define TILE_LIST_1(start) start##_1
#define TILE_LIST_2(start) TILE_LIST_1(start), start##_2
#define TILE_LIST_3(start) TILE_LIST_2(start), start##_3
#define TILE_LIST_4(start) TILE_LIST_3(start), start##_4
#define TILE_LIST_6(start) TILE_LIST_4(start), start##_5, start##_6

/* The tiles of `name` and its dots_fn, from body(id, rows, columns, TILE_ARGUMENTS). ROWS, COLUMNS: numbers, or macros
 * that are. */
#define DOTS_FROM_TILES(name, isa, attribute, body, ROWS, COLUMNS) \
    DOTS_FROM_TILES_OF(name, isa, attribute, body, ROWS, COLUMNS)
#define DOTS_FROM_TILES_OF(name, isa, attribute, body, R, C) \
    TILES_##C(name, isa, attribute, body, R) \
    attribute static void name##_##isa##_one(TILE_PARAMETERS) \
    { \
        body(FORMAT_##name, 1, 1, TILE_ARGUMENTS); \
    } \
    void name##_dots_##isa(float *y, size_t y_stride, const void *w, size_t w_stride, int rows, const void *x, \
        size_t x_stride, int count, int n) \
    { \
        static const struct tiles tiles = { R, C, { TILE_LIST_##C(name##_##isa##_##R) }, name##_##isa##_one }; \
        dots_by_tiles(&tiles, y, y_stride, w, w_stride, rows, x, x_stride, count, n); \
    }

/* Of versions that the baseline of every processor of the family can run. */
#define TARGET_BASE

/* Entries of a version list, only where that instruction set can be. */
#if defined(__x86_64__)
#define DOTS_IF_X86(...) __VA_ARGS__
#define DOTS_IF_ARM(...)
#elif defined(__aarch64__)
#define DOTS_IF_X86(...)
#define DOTS_IF_ARM(...) __VA_ARGS__
#else
#define DOTS_IF_X86(...)
#define DOTS_IF_ARM(...)
#endif

#define X(name) \
    extern const struct dots_panels name##_panels_avx512, name##_panels_avx2; \
    dots_fn name##_dots_c, name##_dots_avx2, name##_dots_avx512, name##_dots_neon, name##_dots_dotprod;
DOTS_FORMATS(X)
X(mxfp4_split)
#undef X

#endif
