/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/probe.h"

#include "base/cpu.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define CHAINS 12 /* independent accumulators: latency times instructions a cycle, on all processors known */

/* Vectors of the compiler: they become the widest loads of the baseline, which is enough to wait for memory. */
typedef uint64_t words __attribute__((vector_size(64), aligned(64)));

/* Four streams: one alone leaves hardware prefetchers short of work on several processors. */
/* One run from front to back, each line asked for 4 KiB before it is used: of the patterns tried (four and eight
 * streams apart, one without asking) the fastest, by a tenth to a half. */
#define READ_AHEAD 4096

uint64_t probe_read(const void *data, size_t size)
{
    const words *in = data;
    words a = { 0 }, b = { 0 };
    for (size_t i = 0; i + 1 < size / sizeof *in; i += 2) {
        __builtin_prefetch((const void *)((uintptr_t)&in[i] + READ_AHEAD), 0, 3);
        __builtin_prefetch((const void *)((uintptr_t)&in[i + 1] + READ_AHEAD), 0, 3);
        a ^= in[i];
        b ^= in[i + 1];
    }
    a ^= b;
    return a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
}

/* Keeps the optimizer from seeing that every round is the same. */
#define OPAQUE(vector, constraint) __asm__ volatile("" : "+" constraint(vector))

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* One probe: CHAINS accumulators of `type`, each updated once a round by `step` from a and b. */
#define PROBE(name, attribute, type, constraint, products, step) \
    attribute static double name(long rounds) \
    { \
        type acc[CHAINS], a, b; \
        memset(&a, 0, sizeof a); \
        memset(&b, 0, sizeof b); \
        UNROLL for (int c = 0; c < CHAINS; c++) acc[c] = a; \
        for (long i = 0; i < rounds; i++) { \
            UNROLL for (int c = 0; c < CHAINS; c++) \
            { \
                OPAQUE(a, constraint); \
                acc[c] = step; \
            } \
        } \
        UNROLL for (int c = 0; c < CHAINS; c++) OPAQUE(acc[c], constraint); \
        return (double)rounds * CHAINS * (products); \
    }

/* Best first; the last needs nothing. */
struct probe_version {
    unsigned needs;
    double (*run)(long rounds);
};

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
PROBE(fp32_avx512, AVX512, __m512, "v", 16, _mm512_fmadd_ps(a, b, acc[c]))
PROBE(fp32_avx2, AVX2, __m256, "x", 8, _mm256_fmadd_ps(a, b, acc[c]))
PROBE(int8_vnni, VNNI, __m512i, "v", 64, _mm512_dpbusd_epi32(acc[c], a, b))
PROBE(int8_avx2, AVX2, __m256i, "x", 32, _mm256_add_epi32(acc[c], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), b)))
PROBE(bf16_avx512, BF16, __m512, "v", 32, _mm512_dpbf16_ps(acc[c], (__m512bh)a, (__m512bh)b))
PROBE(fp32_c, , __m128, "x", 4, _mm_add_ps(acc[c], _mm_mul_ps(a, b)))
PROBE(int8_c, , __m128i, "x", 8, _mm_add_epi32(acc[c], _mm_madd_epi16(a, b)))
static const struct probe_version fp32_versions[] = { { CPU_AVX512, fp32_avx512 }, { CPU_AVX2, fp32_avx2 },
    { 0, fp32_c } };
static const struct probe_version int8_versions[] = { { CPU_AVX512 | CPU_AVX512_VNNI, int8_vnni },
    { CPU_AVX2, int8_avx2 }, { 0, int8_c } };
/* Without an instruction for it, bf16 is multiplied as float32. */
static const struct probe_version bf16_versions[] = { { CPU_AVX512 | CPU_AVX512_BF16, bf16_avx512 },
    { CPU_AVX512, fp32_avx512 }, { CPU_AVX2, fp32_avx2 }, { 0, fp32_c } };
#elif defined(__aarch64__)
#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
PROBE(fp32_neon, , float32x4_t, "w", 4, vfmaq_f32(acc[c], a, b))
PROBE(int8_dotprod, DOTPROD, int32x4_t, "w", 16,
    vdotq_s32(acc[c], vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)))
PROBE(int8_neon, , int32x4_t, "w", 8,
    vpadalq_s16(acc[c], vmull_s8(vreinterpret_s8_s32(vget_low_s32(a)), vreinterpret_s8_s32(vget_high_s32(b)))))
static const struct probe_version fp32_versions[] = { { 0, fp32_neon } };
static const struct probe_version int8_versions[] = { { CPU_NEON | CPU_DOTPROD, int8_dotprod }, { 0, int8_neon } };
static const struct probe_version bf16_versions[] = { { 0, fp32_neon } };
#else
typedef float plain_floats __attribute__((vector_size(16)));
typedef int32_t plain_words __attribute__((vector_size(16)));
PROBE(fp32_c, , plain_floats, "m", 4, acc[c] + a * b)
PROBE(int8_c, , plain_words, "m", 4, acc[c] + a * b)
static const struct probe_version fp32_versions[] = { { 0, fp32_c } };
static const struct probe_version int8_versions[] = { { 0, int8_c } };
static const struct probe_version bf16_versions[] = { { 0, fp32_c } };
#endif

double probe_products(enum format_id pair, long rounds, unsigned features)
{
    const struct probe_version *v = pair == FORMAT_f32 ? fp32_versions
        : pair == FORMAT_bf16                          ? bf16_versions
                                                       : int8_versions;
    while (v->needs & ~features)
        v++;
    return v->run(rounds);
}
