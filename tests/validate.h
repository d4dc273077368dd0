/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema (2020-12) as far as tests need it, written apart from the compiler: what is valid, not what is
 * written. */
#ifndef WAZN_TESTS_VALIDATE_H
#define WAZN_TESTS_VALIDATE_H

#include "base/json.h"

/* NULL: valid; else the keyword that is not kept. References are looked up in root. */
const char *validate(const json_t *root, const json_t *schema, const json_t *value);

#endif
