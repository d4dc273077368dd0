/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

#include <math.h>

/* Where everything so far is -INFINITY the exponents are taken against 0: exp(-INFINITY) = 0, not NaN. */
static float softmax_step_c(float *x, int n, float *max, float *sum)
{
    float top = *max, added = 0;
    for (int i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    float base = top == -INFINITY ? 0 : top;
    for (int i = 0; i < n; i++) {
        x[i] = expf(x[i] - base);
        added += x[i];
    }
    float shrink = expf(*max - base);
    *sum = *sum * shrink + added;
    *max = top;
    return shrink;
}

static void softmax_c(float *x, int n, float sink)
{
    float max = sink, sum = sink > -INFINITY ? 1 : 0;
    softmax_step_c(x, n, &max, &sum);
    for (int i = 0; i < n; i++)
        x[i] /= sum;
}

const struct softmax_step_version softmax_step_versions[] = {
    { "c", 0, softmax_step_c },
};

const struct softmax_version softmax_versions[] = {
    { "c", 0, softmax_c },
};
