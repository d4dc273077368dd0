/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

#define DEEPEST (-110.0f) /* exp of it is 0 as a float: what lies deeper, -INFINITY too, adds 0 and not NaN */

static void entropy_c(float *entropy, const float *x, int n)
{
    float max = x[0], sum = 0, mixed = 0;
    for (int i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int i = 0; i < n; i++) {
        float d = x[i] - max < DEEPEST ? DEEPEST : x[i] - max, e = expf(d);
        sum += e;
        mixed += e * d;
    }
    *entropy = logf(sum) - mixed / sum;
}

SIMD_BODY void entropy_body(float *entropy, const float *x, int n)
{
    float tops[SIMD_LANES], sums[SIMD_LANES] = { 0 }, mixes[SIMD_LANES] = { 0 };
    int whole = n / SIMD_LANES * SIMD_LANES;
    for (int l = 0; l < SIMD_LANES; l++)
        tops[l] = x[0];
    for (int i = 0; i < whole; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            tops[l] = x[i + l] > tops[l] ? x[i + l] : tops[l];
    for (int l = 0; whole + l < n; l++)
        tops[l] = x[whole + l] > tops[l] ? x[whole + l] : tops[l];
    float max = simd_max(tops);
    for (int i = 0; i < whole; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++) {
            float d = x[i + l] - max < DEEPEST ? DEEPEST : x[i + l] - max, e = simd_exp(d);
            sums[l] += e;
            mixes[l] = __builtin_fmaf(e, d, mixes[l]);
        }
    for (int l = 0; whole + l < n; l++) {
        float d = x[whole + l] - max < DEEPEST ? DEEPEST : x[whole + l] - max, e = simd_exp(d);
        sums[l] += e;
        mixes[l] = __builtin_fmaf(e, d, mixes[l]);
    }
    float sum = simd_sum(sums);
    *entropy = logf(sum) - simd_sum(mixes) / sum;
}

SIMD_VERSIONS(entropy, (float *entropy, const float *x, int n), entropy, x, n)

const struct entropy_version entropy_versions[] = {
    SIMD_LIST(entropy) { "c", 0, entropy_c },
};
