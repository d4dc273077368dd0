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
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = sum_of_16(acc[r][c]);
}

#define X(name) DOTS_FROM_TILES(name, avx512, TARGET_AVX512, tile, 4, 4)
FLOAT_FORMATS(X)
#undef X
