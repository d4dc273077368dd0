/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

#include "tensor/dots/dots.h"

struct kernels kernels;

static dots_fn *choose_dots(const struct dots_version *v, unsigned features)
{
    while (v && (v->needs & ~features))
        v++;
    return v ? v->run : NULL;
}

void kernels_init(unsigned features)
{
    kernels.features = features;
#define X(op) \
    { \
        const struct op##_version *v = op##_versions; \
        while (v->needs & ~features) \
            v++; \
        kernels.op = v->run; \
    }
    KERNELS(X)
#undef X
    for (int i = 0; i < FORMAT_COUNT; i++)
        kernels.dots[i] = choose_dots(formats[i]->dots, features);
    kernels.mxfp4_split_dots = choose_dots(mxfp4_split_dots, features);
}
