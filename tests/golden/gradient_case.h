/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients against PyTorch's, as tools/golden/gradients.py writes them.
 *
 * A gradient is a sum over the tokens that count; its "size" is the same sum over absolute values, and rounding scales
 * with it. Within one token's part terms cancel too, which its size does not show, so the root mean square of the
 * tensor's sizes is added. How steep the function is at this place, a softmax over large logits above all, is not seen
 * either: the golden files note how far PyTorch's own float32 is off in each tensor, in units of u (size + rms), and we
 * may be off by so much more. Hence |difference| <= (FEW (layers + 1) + own) u (size + rms). A projection onto random
 * signs, and the norm, gather errors of all elements as a root of squares would. Where the factors of products are
 * rounded to bf16 the same holds with its u. */
#ifndef WAZN_TESTS_GOLDEN_GRADIENT_CASE_H
#define WAZN_TESTS_GOLDEN_GRADIENT_CASE_H

#include "base/json.h"
#include "model/train_pass.h"

#define GRADIENT_TEXTS 2
#define GRADIENT_FEW 6.0
#define GRADIENT_UNIT 0x1p-24
#define GRADIENT_UNIT_BF16 0x1p-9

struct gradients {
    json_t *json;
    struct train_text texts[GRADIENT_TEXTS];
    int32_t ids[GRADIENT_TEXTS][64], targets[GRADIENT_TEXTS][64];
    int tokens;
};

/* Texts and targets of tests/golden/data/FOLDER/NAME.json; the caller releases json. */
void gradients_read(struct gradients *g, const char *folder, const char *name);

struct gradient_worst {
    double unit; /* of the numbers that are multiplied */
    double element, sum; /* in units of it times (size + rms); of whole tensors */
    double share, own; /* of what is allowed, the largest; of PyTorch's float32 */
};

/* entry: of one tensor; x: its n numbers. Fails the test beyond the bound. worst->unit must be set. */
void gradient_check(const json_t *entry, const float *x, int64_t n, int layers, struct gradient_worst *worst);

#endif
