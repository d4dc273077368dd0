/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns from tokenizer files, by PCRE2 with JIT: Unicode classes, limits on size, steps and time. */
#ifndef WAZN_TEXT_REGEX_H
#define WAZN_TEXT_REGEX_H

#include "base/error.h"

#include <stddef.h>

struct regex;
struct regex_match; /* working memory of one caller */

/* ERROR_FORMAT where the pattern is malformed or too large. literal: the pattern is plain text. */
int regex_new(struct regex **out, const char *pattern, size_t n, int literal, struct error *err);
void regex_close(struct regex *r);

/* Find the next match at or after `from` in valid UTF-8. Returns 1 (and [*start, *stop)), 0: none, or an error
 * (ERROR_LIMIT: it takes too many steps). *match is made at first need; release it with regex_match_close. */
int regex_find(const struct regex *r, struct regex_match **match, const char *text, size_t n, size_t from,
    size_t *start, size_t *stop, struct error *err);
/* Give a run of searches its time: call before the first one over n bytes of text. */
int regex_begin(struct regex_match **match, size_t n, struct error *err);
void regex_match_close(struct regex_match *match);

#endif
