/* SPDX-License-Identifier: Apache-2.0 */
/* One of many texts, as a tree over their bytes. */
#include "infer/grammar_impl.h"

#include <stdlib.h>
#include <string.h>

#define BRANCHES_MAX 500 /* one behind the other: words that are each the beginning of the next */

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t common(const char *a, const char *b, size_t from)
{
    while (a[from] && a[from] == b[from])
        from++;
    return from;
}

/* words[from .. to), sorted, different, equal in `depth` bytes. */
static uint32_t build_branch(struct builder *b, char **words, size_t from, size_t to, size_t depth, int branches,
    uint32_t next)
{
    struct edge edges[256];
    uint32_t n = 0;
    size_t agree = common(words[from], words[to - 1], depth);
    const char *stem = words[from] + depth;
    if (branches > BRANCHES_MAX)
        builder_fail(b, ERROR_LIMIT, "more than %d values of an enum begin one another", BRANCHES_MAX);
    if (b->rc)
        return NODE_THE_END;
    bool ends = !words[from][agree];
    from += ends;
    while (from < to) {
        unsigned char c = (unsigned char)words[from][agree];
        size_t end = from + 1;
        while (end < to && (unsigned char)words[end][agree] == c)
            end++;
        uint32_t target = build_branch(b, words, from, end, agree + 1, branches + 1, next);
        edges[n++] = (struct edge) { target, c, c };
        from = end;
    }
    uint32_t fork = n == 0 ? next : build_bytes(b, edges, n);
    if (ends && n > 0)
        fork = build_either(b, next, fork);
    return build_text(b, stem, agree - depth, fork);
}

uint32_t build_words(struct builder *b, char **words, size_t n, uint32_t next)
{
    size_t kept = 0;
    if (n == 0)
        return build_split(b, NULL, 0);
    qsort(words, n, sizeof *words, by_bytes);
    for (size_t i = 0; i < n; i++) {
        char *word = words[i];
        if (kept > 0 && strcmp(word, words[kept - 1]) == 0)
            continue;
        words[i] = words[kept]; /* the caller frees all of them */
        words[kept++] = word;
    }
    return build_branch(b, words, 0, kept, 0, 0, next);
}
