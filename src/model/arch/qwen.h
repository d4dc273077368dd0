/* SPDX-License-Identifier: Apache-2.0 */
/* What the Qwen generations share. */
#ifndef WAZN_MODEL_ARCH_QWEN_H
#define WAZN_MODEL_ARCH_QWEN_H

#include "model/spec_read.h"

/* The common keys, windows (where use_sliding_window; layers below max_window_layers see everything, by default those
 * below window_from) and rope. */
int qwen_read(struct spec *s, const json_t *c, const struct spec_defaults *d, int window_from, struct error *err);

#endif
