/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/float.h"
#include "tensor/dots/x86.h"

#define INLINE ALWAYS_INLINE TARGET_AVX2
#define LANES 8

INLINE __m256 load_values(const enum format_id id, const uint8_t *at)
{
    const __m128i *half = (const __m128i *)(const void *)at;
    switch (id) {
    case FORMAT_f16: return _mm256_cvtph_ps(_mm_loadu_si128(half));
    case FORMAT_bf16:
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(half)), 16));
    default: return _mm256_loadu_ps((const float *)(const void *)at);
    }
}

INLINE void add_products(__m256 acc[TILE_MAX][TILE_MAX], const enum format_id id, const int R, const int C,
    const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    __m256 in[TILE_MAX];
    UNROLL for (int c = 0; c < C; c++)
        in[c] = load_values(float_pair(id), x + (size_t)c * x_stride);
    UNROLL for (int r = 0; r < R; r++)
    {
        __m256 weights = load_values(id, w + (size_t)r * w_stride);
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm256_fmadd_ps(weights, in[c], acc[r][c]);
    }
}

INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    const size_t bytes = float_bytes(id), x_bytes = float_bytes(float_pair(id));
    __m256 acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm256_setzero_ps();
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
            y[(size_t)c * y_stride + (size_t)r * y_step] = sum_of_8(acc[r][c]);
}

#define X(name) DOTS_FROM_TILES(name, avx2, TARGET_AVX2, tile, 4, 3)
FLOAT_FORMATS(X)
#undef X
