/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

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

const struct rope_version rope_versions[] = {
    { "c", 0, rope_c },
};
