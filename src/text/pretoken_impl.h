/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the pre-tokenizer: known patterns matched by hand, others by PCRE2, and tokenizer.json's steps.
 */
#ifndef WAZN_TEXT_PRETOKEN_IMPL_H
#define WAZN_TEXT_PRETOKEN_IMPL_H

#include "text/regex.h"
#include "text/tokenizer_impl.h"

/* Characters below have their class in a table; the few above are looked up. Ends behind the CJK extensions. */
#define CLASS_TABLE_SIZE 0x33480

/* End of the piece that begins at `at` < n, in valid UTF-8. classes: (CLASS_TABLE_SIZE) unicode_class bits. */
typedef size_t next_fn(const unsigned char *classes, const char *text, size_t at, size_t n);

struct known_pattern {
    const char *name;
    const char *text; /* exactly as files spell it */
    next_fn *next;
};

/* NULL: not a known one. */
const struct known_pattern *known_pattern_named(const char *name);
const struct known_pattern *known_pattern_spelled(const char *text, size_t n);

/* What a split does with what it matched (tokenizer.json's "behavior"). */
enum behavior { ISOLATED, REMOVED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };

enum step_kind {
    STEP_KNOWN,  /* next: all of the text, piece by piece */
    STEP_REGEX,  /* matches of a pattern */
    STEP_CHARACTER, /* each character for which test holds */
    STEP_PREFIX, /* no cut: text in front of each piece that lacks it, after spaces were replaced */
};

enum scheme { PREFIX_NEVER, PREFIX_FIRST, PREFIX_ALWAYS };

struct pretoken_step {
    enum step_kind kind;
    next_fn *next;
    struct regex *regex;
    bool (*test)(int32_t point);
    bool whole_runs;        /* STEP_CHARACTER: a run of such characters is one match */
    enum behavior behavior; /* for all but STEP_KNOWN and STEP_PREFIX */
    bool invert;            /* what is not matched counts as matched */
    enum scheme scheme;
    char *prefix;           /* owned */
    bool replace_spaces;    /* by prefix */
};

#define PRETOKEN_STEPS_MAX 16

struct pretoken {
    const char *name;
    struct pretoken_step steps[PRETOKEN_STEPS_MAX];
    int count;
    unsigned char *classes; /* (CLASS_TABLE_SIZE) */
};

int pretoken_new(struct pretoken **out, struct error *err); /* no steps yet */
/* Append a step; takes over its regex and prefix, also on error. */
int pretoken_add(struct pretoken *p, struct pretoken_step step, struct error *err);
/* Append a split: by hand where the pattern is a known one and every match is kept, else by PCRE2. */
int pretoken_add_pattern(struct pretoken *p, const char *pattern, size_t n, enum behavior behavior, bool invert,
    struct error *err);

#endif
