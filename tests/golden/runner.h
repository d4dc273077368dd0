/* SPDX-License-Identifier: Apache-2.0 */
/* A model opened for a golden test, and ways to cut one text into passes. What fails here fails the test. */
#ifndef WAZN_TESTS_GOLDEN_RUNNER_H
#define WAZN_TESTS_GOLDEN_RUNNER_H

#include "file/source.h"
#include "model/pass.h"
#include "tensor/format.h"

struct runner {
    struct source *source;
    struct model *model;
    const struct spec *spec;
};

void runner_open(struct runner *r, const char *path);
void runner_close(struct runner *r);

/* From _off to _on products are taken as references take them: of decoded weights and activations that are not
 * rounded. runner_open ends it too. */
struct runner_dots {
    dots_fn *dots[FORMAT_COUNT], *split;
};
void runner_rounding_off(struct runner_dots *kept);
void runner_rounding_on(const struct runner_dots *kept);

struct cut {
    const struct format *format; /* of the cache */
    int threads;
    int chunk;     /* tokens of a pass; 0: random lengths from `seed` */
    unsigned seed;
};
/* Logits (n, vocabulary) of a text fed in the way of `cut`. New memory; the caller frees it. */
float *runner_logits_new(const struct runner *r, const int32_t *ids, int n, const struct cut *cut);

/* The same, with `copies` sequences in every pass: sequence i gets its text `i` tokens later and in chunks of its own.
 * Returns the logits of the last one. */
float *runner_batch_new(const struct runner *r, const int32_t *ids, int n, int copies, const struct format *format);

#endif
