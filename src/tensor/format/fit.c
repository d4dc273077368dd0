/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/format/fit.h"

#include "tensor/format/round.h"
#include "tensor/half.h"

#include <math.h>

static float weight_usable(float w)
{
    return w > 0.0f && w <= FLT_MAX ? w : 0.0f;
}

float fit_prepare(float *y, float *w, const float *x, const float *importance, int n)
{
    float peak = fabsf(block_peak(x, n));
    if (!(peak <= FLT_MAX))
        return NAN;
    if (peak < 0x1p-25f) /* half of the smallest step, which is the smallest binary16 times 1 */
        return 0.0f;
    float most = 0.0f;
    for (int i = 0; importance && i < n; i++)
        most = fmaxf(most, weight_usable(importance[i]));
    for (int i = 0; i < n; i++) {
        y[i] = x[i] / peak;
        w[i] = most > 0.0f ? weight_usable(importance[i]) / most : 1.0f;
    }
    return peak;
}

uint16_t fit_scale_store(float scale)
{
    uint16_t h = f16_from_f32(fminf(fmaxf(scale, -65504.0f), 65504.0f));
    return scale != 0.0f && (h & 0x7fff) == 0 ? h | 1 : h;
}
