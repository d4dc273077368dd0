/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the schema compiler. Private to src/infer. */
#ifndef WAZN_INFER_SCHEMA_IMPL_H
#define WAZN_INFER_SCHEMA_IMPL_H

#include "base/buffer.h"
#include "base/map.h"
#include "infer/grammar_impl.h"

#define SCHEMA_DEPTH_MAX 200
#define SCHEMA_LEAST_MAX 100000 /* minItems, minLength: more is no answer that anybody waits for */
#define SCHEMA_NAMES_MAX 5000
#define SCHEMA_NAME_MAX 256     /* bytes of a property's name beside additionalProperties */

/* What a $ref points to: compiled once, called from anywhere. */
struct schema_rule {
    const char *ref; /* borrowed from the schema */
    const json_t *schema;
    uint32_t start;
};

struct schema_compiler {
    struct builder b;
    const json_t *root;
    struct buffer path; /* JSON pointer of where it is */
    bool placed;        /* the path is in the error's text */
    int depth;
    struct map known; /* ref: index of its rule */
    struct schema_rule *rules;
    size_t n_rules, rules_capacity;
};

/* Record an error of the schema at this place. */
int schema_fail(struct schema_compiler *c, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* schema.c: nodes of a schema in front of `next`. `name`, and `index` where not negative, go into the path. */
uint32_t schema_compile(struct schema_compiler *c, const json_t *schema, const char *name, int index, uint32_t next);

/* schema_types.c: nodes of one type's values, by its keywords. */
uint32_t schema_object(struct schema_compiler *c, const json_t *schema, uint32_t next);
uint32_t schema_array(struct schema_compiler *c, const json_t *schema, uint32_t next);
uint32_t schema_string(struct schema_compiler *c, const json_t *schema, uint32_t next);
uint32_t schema_number(struct schema_compiler *c, const json_t *schema, bool whole, uint32_t next);

/* schema_enum.c: any of these values that is of one of the types (bits 1 << json_type, reals and integers as such). */
uint32_t schema_values(struct schema_compiler *c, const json_t *values, unsigned types, uint32_t next);

#endif
