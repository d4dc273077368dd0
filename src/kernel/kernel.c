/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

#include "tensor/dots/dots.h"

struct kernels kernels;

static void choose_dots(dots_fn **dots, const struct dots_panels **panels, const struct dots_version *v,
    unsigned features)
{
    while (v && (v->needs & ~features))
        v++;
    *dots = v ? v->run : NULL;
    *panels = v ? v->panels : NULL;
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
        choose_dots(&kernels.dots[i], &kernels.panels[i], formats[i]->dots, features);
    choose_dots(&kernels.mxfp4_split_dots, &kernels.mxfp4_split_panels, mxfp4_split_dots, features);
}
