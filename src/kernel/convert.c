/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include "tensor/block.h"
#include "tensor/format/round.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static void decode_c(const struct format *format, float *y, const void *x, int64_t n)
{
    format->decode(y, x, n);
}

static void encode_c(const struct format *format, void *y, const float *x, int64_t n)
{
    format->encode(y, x, NULL, n);
}

SIMD_BODY void bf16_decode(float *y, const uint8_t *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, x + 2 * i, sizeof h);
        y[i] = f32_from_bf16(h);
    }
}

SIMD_BODY void bf16_encode(uint8_t *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = bf16_from_f32(x[i]);
        memcpy(y + 2 * i, &h, sizeof h);
    }
}

SIMD_BODY void q8_0_decode(float *y, const struct q8_0_block *b, int64_t n)
{
    for (int64_t k = 0; k < n / 32; k++) {
        float d = f32_from_f16(u16_read(b[k].d));
        for (int i = 0; i < 32; i++)
            y[32 * k + i] = d * (float)b[k].q[i];
    }
}

/* The scale of 32 values, and the values over it: what q8_0 and q8_1 share. An inverse that is not 0 means that all
 * are finite. The float before 0.5, added away from 0, makes truncation round halves away from zero: for |x| < 2^22
 * the sum's own rounding goes up to the next whole number for halves and never for less. */
SIMD_BODY float q8_block(int8_t *q, const float *x)
{
    uint32_t most = 0;
    for (int i = 0; i < 32; i++) {
        uint32_t magnitude = simd_bits(x[i]) & 0x7fffffffu;
        most = magnitude > most ? magnitude : most;
    }
    float d = simd_from_bits(most) / 127.0f, inverse = scale_inverse(d);
    if (inverse == 0) {
        memset(q, 0, 32);
        return d;
    }
    for (int i = 0; i < 32; i++) {
        float level = x[i] * inverse, half = simd_from_bits((simd_bits(level) & 0x80000000u) | 0x3effffffu);
        q[i] = (int8_t)(int)(level + half);
    }
    return d;
}

SIMD_BODY void q8_0_encode(struct q8_0_block *b, const float *x, int64_t n)
{
    for (int64_t k = 0; k < n / 32; k++)
        u16_write(b[k].d, f16_from_f32(q8_block(b[k].q, x + 32 * k)));
}

SIMD_BODY void q8_1_encode(struct q8_1_block *b, const float *x, int64_t n)
{
    for (int64_t k = 0; k < n / 32; k++) {
        int sum = 0;
        b[k].d = q8_block(b[k].q, x + 32 * k);
        for (int i = 0; i < 32; i++)
            sum += b[k].q[i];
        b[k].sum = b[k].d * (float)sum;
    }
}

SIMD_BODY void q8_k_encode(struct q8_k_block *b, const float *x, int64_t n)
{
    for (int64_t k = 0; k < n / 256; k++, b++, x += 256) {
        float peak = block_peak(x, 256), inverse = -127.0f / peak;
        bool usable = inverse >= -FLT_MAX && inverse <= FLT_MAX && inverse != 0.0f;
        b->d = usable ? 1.0f / inverse : peak * 0.0f;
        for (int i = 0; i < 256; i++) /* adding 1.5 * 2^23 rounds to a whole number, halves to even */
            b->q[i] = (int8_t)(simd_bits((usable ? x[i] * inverse : 0.0f) + 0x1.8p23f) - simd_bits(0x1.8p23f));
        for (int i = 0; i < 16; i++) {
            int sum = 0;
            for (int l = 0; l < 16; l++)
                sum += b->q[16 * i + l];
            b->sums[i] = (int16_t)sum;
        }
    }
}

/* The formats that need no instruction of their own. */
SIMD_BODY void decode_body(const struct format *format, float *y, const void *x, int64_t n)
{
    switch (format->id) {
    case FORMAT_bf16:
        bf16_decode(y, x, n);
        return;
    case FORMAT_q8_0:
        q8_0_decode(y, x, n);
        return;
    default:
        format->decode(y, x, n);
    }
}

SIMD_BODY void encode_body(const struct format *format, void *y, const float *x, int64_t n)
{
    switch (format->id) {
    case FORMAT_bf16:
        bf16_encode(y, x, n);
        return;
    case FORMAT_q8_0:
        q8_0_encode(y, x, n);
        return;
    case FORMAT_q8_1:
        q8_1_encode(y, x, n);
        return;
    case FORMAT_q8_k:
        q8_k_encode(y, x, n);
        return;
    default:
        format->encode(y, x, NULL, n);
    }
}

#if defined(__x86_64__)
/* F16C does binary16, eight values at a time. What is left over goes the plain way: both are exact. */
#define F16_VERSIONS(set, target) \
    target static void decode_##set(const struct format *format, float *y, const void *x, int64_t n) \
    { \
        const uint8_t *from = x; \
        int64_t i = 0; \
        for (; format->id == FORMAT_f16 && i + 8 <= n; i += 8) \
            _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(from + 2 * i)))); \
        decode_body(format, y + i, from + 2 * i, n - i); \
    } \
    target static void encode_##set(const struct format *format, void *y, const float *x, int64_t n) \
    { \
        uint8_t *to = y; \
        int64_t i = 0; \
        for (; format->id == FORMAT_f16 && i + 8 <= n; i += 8) \
            _mm_storeu_si128((__m128i *)(void *)(to + 2 * i), \
                _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT)); \
        encode_body(format, to + 2 * i, x + i, n - i); \
    }
F16_VERSIONS(avx512, TARGET_AVX512)
F16_VERSIONS(avx2, TARGET_AVX2)
#else
SIMD_VERSIONS(decode, (const struct format *format, float *y, const void *x, int64_t n), format, y, x, n)
SIMD_VERSIONS(encode, (const struct format *format, void *y, const float *x, int64_t n), format, y, x, n)
#endif

const struct decode_version decode_versions[] = {
    SIMD_LIST(decode) { "c", 0, decode_c },
};

const struct encode_version encode_versions[] = {
    SIMD_LIST(encode) { "c", 0, encode_c },
};
