/* SPDX-License-Identifier: Apache-2.0 */
/* Which tensor is stored in which format: recipes by name, and rules that go before them. The recipes of several
 * formats (q4_k_m and its kin) are llama.cpp's, tensor by tensor, so that a name promises the same file. */
#ifndef WAZN_PUBLISH_RECIPE_H
#define WAZN_PUBLISH_RECIPE_H

#include "base/buffer.h"
#include "model/save.h"

struct recipe {
    const char *name;
    const struct format *format; /* of most matrices */
    int file_type;               /* general.file_type in GGUF */
};

/* In the order of their sizes, smallest first. */
extern const struct recipe recipes[];
extern const size_t recipe_count;

const struct recipe *recipe_find(const char *name); /* any case; NULL: none */
void recipe_names(struct buffer *out);              /* "q2_k_s, q2_k, ..." */

/* "pattern=format" or "pattern", which keeps the source's format. The pattern is the name of a role ("output", "v") or
 * of a tensor as the output calls it, where * stands for any text. */
struct keep_rule {
    const char *pattern; /* not 0-terminated */
    size_t n;
    const struct format *format; /* NULL: the source's */
};
#define KEEP_RULES_MAX 64
/* From "output=q8_0,blk.0.*"; the text must outlive the rules. */
int keep_read(struct keep_rule rules[KEEP_RULES_MAX], size_t *count, const char *text, struct error *err);
bool keep_matches(const struct keep_rule *r, const struct saved_tensor *t);

/* The format of every tensor. recipe NULL: as the source has them. imatrix: importance will be given, which llama.cpp's
 * recipes ask. Vectors, routers and tables of positions are f32 in GGUF; a matrix whose rows a format's blocks do not
 * divide takes the next that fits; blocks of the source that are not larger than what is asked for stay as they are.
 * ERROR_USAGE for a rule that matches nothing or cannot be followed. */
int recipe_apply(const struct format **formats, const struct save *s, enum source_kind kind, const struct recipe *r,
    const struct keep_rule *rules, size_t n_rules, bool imatrix, struct error *err);

/* The next format whose blocks divide rows of `cols` numbers. */
const struct format *format_that_fits(const struct format *f, int64_t cols);

double format_bits(const struct format *f); /* of a number */

#endif
