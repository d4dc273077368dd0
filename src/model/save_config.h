/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAZN_MODEL_SAVE_CONFIG_H
#define WAZN_MODEL_SAVE_CONFIG_H

#include "base/error.h"
#include "base/json.h"
#include "model/spec.h"

/* A config.json for the numbers of a model, everything written out that a class might assume otherwise, after the
 * config they were read from (its ids of special tokens and its rope's parameters are taken over). ERROR_UNSUPPORTED
 * where it cannot be said. */
int save_config_new(json_t **out, const struct spec *s, const json_t *config, struct error *err);

/* The first number in which two models differ for who runs them ("window of layer 3"); NULL: they are one. What kinds
 * of files say differently (norm_offset, rope_interleaved, rope_factors) does not count. */
const char *spec_difference(const struct spec *a, const struct spec *b, char text[64]);

#endif
