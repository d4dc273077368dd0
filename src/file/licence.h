/* SPDX-License-Identifier: Apache-2.0 */
/* Which licence a model comes under, recognised by the words of its text or by the name its authors wrote down, and
 * what that licence restricts. A help to find the terms, no legal advice: a text that is not known is reported as
 * unknown. */
#ifndef WAZN_FILE_LICENCE_H
#define WAZN_FILE_LICENCE_H

#include "base/error.h"
#include "file/source.h"

#include <stdbool.h>
#include <stddef.h>

#define LICENCE_ALIASES_MAX 5
#define LICENCE_MARKS_MAX 3
#define LICENCE_RESTRICTIONS_MAX 4

struct licence {
    const char *name;                                  /* "Llama 3.1 Community License" */
    const char *aliases[LICENCE_ALIASES_MAX];           /* SPDX or hub ids, lower case, the best known first */
    const char *marks[LICENCE_MARKS_MAX];               /* words that the text holds, lower case, all of them */
    const char *restrictions[LICENCE_RESTRICTIONS_MAX]; /* what a user must heed beyond keeping notices; often none */
};

extern const struct licence *const licences[]; /* NULL behind the last; narrower texts before wider ones */

/* By the text of a licence file (any bytes), or NULL. Case, line ends and quotes do not matter. */
const struct licence *licence_recognise(const char *text, size_t n);
/* By an id as model cards have it ("apache-2.0"), or NULL. */
const struct licence *licence_find(const char *id);

/* One place that says something about the licence. */
struct licence_finding {
    char where[256];               /* "LICENSE", "README.md", "general.license" */
    char said[128];                /* the id found there; "" for a text */
    const struct licence *licence; /* NULL: not known */
};

#define LICENCE_FINDINGS_MAX 8

/* Look at the licence files beside the weights, the head of README.md and GGUF's metadata. Returns how many findings,
 * 0: nothing is said. Files that cannot be read are passed over. */
size_t licence_search(struct licence_finding findings[LICENCE_FINDINGS_MAX], const struct source *s);

#endif
