/* SPDX-License-Identifier: Apache-2.0 */
/* A unit of the double array (darts-clone): bits 0..7 the label, bit 8 whether the string may end here, bits 10..30 the
 * distance to the children, shifted left by 8 more where bit 9 is set. The unit of an end holds the value instead, with
 * bit 31 set. */
#include "text/charsmap.h"

#include <stdlib.h>
#include <string.h>

#define REPLACEMENT_MAX 256 /* bytes; NFKC's longest is 33 */
#define MATCH_MAX 256       /* bytes that one rule replaces; a cycle in a damaged array must not run on */

static int check_texts(const char *texts, size_t n, struct error *err)
{
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        if (i - start > REPLACEMENT_MAX)
            return error_set(
                err, ERROR_FORMAT, "precompiled_charsmap has a replacement of more than %d bytes", REPLACEMENT_MAX);
        if (texts[i] == 0)
            start = i + 1;
    }
    return start == n ? 0 : error_set(err, ERROR_FORMAT, "precompiled_charsmap ends inside a replacement");
}

int charsmap_init(struct charsmap *c, const void *data, size_t n, struct error *err)
{
    const unsigned char *bytes = data;
    memset(c, 0, sizeof *c);
    if (n == 0)
        return 0;
    size_t trie_size = n < 4 ? 0 : bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    if (n < 4 || trie_size > n - 4 || trie_size < 4 || trie_size % 4)
        return error_set(err, ERROR_FORMAT, "precompiled_charsmap of %zu bytes says its array has %zu", n, trie_size);
    const char *texts = (const char *)bytes + 4 + trie_size;
    int rc = check_texts(texts, n - 4 - trie_size, err);
    if (rc)
        return rc;
    c->count = trie_size / 4;
    c->texts_size = n - 4 - trie_size;
    c->units = malloc(trie_size);
    c->texts = malloc(c->texts_size + 1);
    if (!c->units || !c->texts) {
        charsmap_release(c);
        return error_memory(err, n, "precompiled_charsmap");
    }
    for (size_t i = 0; i < c->count; i++) {
        const unsigned char *u = bytes + 4 + 4 * i;
        c->units[i] = u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
    }
    memcpy(c->texts, texts, c->texts_size);
    c->texts[c->texts_size] = 0;
    return 0;
}

void charsmap_release(struct charsmap *c)
{
    free(c->units);
    free(c->texts);
    memset(c, 0, sizeof *c);
}

static size_t unit_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

size_t charsmap_match(const struct charsmap *c, const char *text, size_t n, const char **by, size_t *by_n)
{
    size_t longest = 0, value = 0;
    if (!c->units)
        return 0;
    size_t at = unit_offset(c->units[0]);
    for (size_t i = 0; i < n && i < MATCH_MAX; i++) {
        at ^= (unsigned char)text[i];
        if (at >= c->count || (c->units[at] & 0x800000ffu) != (unsigned char)text[i])
            break;
        uint32_t unit = c->units[at];
        at ^= unit_offset(unit);
        if (unit & 0x100) {
            if (at >= c->count)
                break;
            longest = i + 1;
            value = c->units[at] & 0x7fffffff;
        }
    }
    if (longest == 0 || value >= c->texts_size)
        return 0;
    *by = c->texts + value;
    *by_n = strlen(*by);
    return longest;
}
