/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/float.h"
#include "tensor/dots/x86.h"

#define INLINE ALWAYS_INLINE TARGET_AVX512
#define LANES 16

INLINE __m512 load_values(const enum format_id id, const uint8_t *at)
{
    const __m256i *half = (const __m256i *)(const void *)at;
    switch (id) {
    case FORMAT_f16: return _mm512_cvtph_ps(_mm256_loadu_si256(half));
    case FORMAT_bf16:
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(half)), 16));
    default: return _mm512_loadu_ps((const float *)(const void *)at);
    }
}

INLINE void add_products(__m512 acc[TILE_MAX][TILE_MAX], const enum format_id id, const int R, const int C,
    const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    __m512 in[TILE_MAX];
    UNROLL for (int c = 0; c < C; c++)
        in[c] = load_values(float_pair(id), x + (size_t)c * x_stride);
    UNROLL for (int r = 0; r < R; r++)
    {
        __m512 weights = load_values(id, w + (size_t)r * w_stride);
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm512_fmadd_ps(weights, in[c], acc[r][c]);
    }
}

/* Each by itself or all of a full tile together, the sum of lanes i and i + 8, then i + 4, i + 2, i + 1: the same bits.
 * Together two vectors' halves become one vector at each step. */
INLINE void add_lanes(float sums[TILE_MAX][TILE_MAX], __m512 acc[TILE_MAX][TILE_MAX], const int R, const int C)
{
    __m512 eighths[4], quarters[2], both;
    if (R != 4 || C != 4) {
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int c = 0; c < C; c++)
                sums[c][r] = sum_of_16(acc[r][c]);
        return;
    }
    UNROLL for (int r = 0; r < 4; r++) /* quarter c: four sums of lanes of column c */
    {
        __m512 a = _mm512_add_ps(_mm512_shuffle_f32x4(acc[r][0], acc[r][1], 0x44),
            _mm512_shuffle_f32x4(acc[r][0], acc[r][1], 0xee));
        __m512 b = _mm512_add_ps(_mm512_shuffle_f32x4(acc[r][2], acc[r][3], 0x44),
            _mm512_shuffle_f32x4(acc[r][2], acc[r][3], 0xee));
        eighths[r] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    UNROLL for (int i = 0; i < 2; i++)
        quarters[i] = _mm512_add_ps(_mm512_shuffle_ps(eighths[2 * i], eighths[2 * i + 1], 0x44),
            _mm512_shuffle_ps(eighths[2 * i], eighths[2 * i + 1], 0xee));
    both = _mm512_add_ps(_mm512_shuffle_ps(quarters[0], quarters[1], 0x88),
        _mm512_shuffle_ps(quarters[0], quarters[1], 0xdd));
    _mm512_storeu_ps(sums[0], both);
}

INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    const size_t bytes = float_bytes(id), x_bytes = float_bytes(float_pair(id));
    __m512 acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm512_setzero_ps();
    int k = 0;
    for (; k + LANES <= n; k += LANES)
        add_products(acc, id, R, C, w + (size_t)k * bytes, w_stride, x + (size_t)k * x_bytes, x_stride);
    if (k < n) {
        uint8_t w_end[TILE_MAX][LANES * sizeof(float)] = { 0 }, x_end[TILE_MAX][LANES * sizeof(float)] = { 0 };
        for (int r = 0; r < R; r++)
            memcpy(w_end[r], w + (size_t)r * w_stride + (size_t)k * bytes, (size_t)(n - k) * bytes);
        for (int c = 0; c < C; c++)
            memcpy(x_end[c], x + (size_t)c * x_stride + (size_t)k * x_bytes, (size_t)(n - k) * x_bytes);
        add_products(acc, id, R, C, w_end[0], sizeof w_end[0], x_end[0], sizeof x_end[0]);
    }
    float sums[TILE_MAX][TILE_MAX]; /* (columns, rows) */
    add_lanes(sums, acc, R, C);
    UNROLL for (int c = 0; c < C; c++)
        UNROLL for (int r = 0; r < R; r++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = sums[c][r];
}

#define X(name) DOTS_FROM_TILES(name, avx512, TARGET_AVX512, tile, 4, 4)
FLOAT_FORMATS(X)
#undef X
