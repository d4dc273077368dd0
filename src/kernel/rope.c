/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

static void rotate(float *a, float *b, float cosine, float sine)
{
    float x = *a, y = *b;
    *a = x * cosine - y * sine;
    *b = y * cosine + x * sine;
}

static void rope_c(float *x, const float *cosine, const float *sine, int pairs, bool interleaved)
{
    if (interleaved) {
        for (int i = 0; i < pairs; i++)
            rotate(&x[2 * i], &x[2 * i + 1], cosine[i], sine[i]);
    } else {
        for (int i = 0; i < pairs; i++)
            rotate(&x[i], &x[pairs + i], cosine[i], sine[i]);
    }
}

SIMD_BODY void rope_body(float *x, const float *cosine, const float *sine, int pairs, bool interleaved)
{
    if (interleaved) {
        for (int i = 0; i < pairs; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = a * cosine[i] - b * sine[i];
            x[2 * i + 1] = b * cosine[i] + a * sine[i];
        }
    } else {
        for (int i = 0; i < pairs; i++) {
            float a = x[i], b = x[pairs + i];
            x[i] = a * cosine[i] - b * sine[i];
            x[pairs + i] = b * cosine[i] + a * sine[i];
        }
    }
}

SIMD_VERSIONS(rope, (float *x, const float *cosine, const float *sine, int pairs, bool interleaved), x, cosine, sine,
    pairs, interleaved)

const struct rope_version rope_versions[] = {
    SIMD_LIST(rope) { "c", 0, rope_c },
};
