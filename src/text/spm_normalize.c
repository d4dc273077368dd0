/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece's normalisation: rules on the longest prefix, white space trimmed and escaped, a dummy space. Equal to
 * the sentencepiece library on valid UTF-8. A byte that belongs to no character becomes U+FFFD there and here, except
 * that a vocabulary with byte pieces gets the byte itself, so that decoding gives it back. */
#include "text/spm_impl.h"

#include <string.h>

#define REPLACEMENT_CHARACTER "\xef\xbf\xbd"

/* What the text begins with, and what that becomes. User-defined pieces stay as they are. */
static size_t normalize_prefix(const struct spm *m, const char *text, size_t n, const char **by, size_t *by_n)
{
    int32_t ignored;
    size_t taken = trie_longest(&m->user, text, n, &ignored);
    if (taken == 0) {
        taken = charsmap_match(&m->rules, text, n, by, by_n);
        if (taken)
            return taken;
        taken = spm_character(text, n);
        if (taken == 1 && (unsigned char)*text >= 0x80 && !m->byte_fallback) {
            *by = REPLACEMENT_CHARACTER;
            *by_n = 3;
            return 1;
        }
    }
    *by = text;
    *by_n = taken;
    return taken;
}

static void add_space(const struct spm *m, struct buffer *out)
{
    if (m->escape_whitespace)
        buffer_add(out, SPM_SPACE, SPM_SPACE_BYTES);
    else
        buffer_add_byte(out, ' ');
}

/* Add with spaces escaped. */
static void add_escaped(const struct spm *m, const char *text, size_t n, struct buffer *out)
{
    while (n > 0) {
        const char *space = m->escape_whitespace ? memchr(text, ' ', n) : NULL;
        size_t plain = space ? (size_t)(space - text) : n;
        buffer_add(out, text, plain);
        if (!space)
            return;
        buffer_add(out, SPM_SPACE, SPM_SPACE_BYTES);
        text += plain + 1;
        n -= plain + 1;
    }
}

static void strip_end(const struct spm *m, size_t floor, struct buffer *out)
{
    const char *space = m->escape_whitespace ? SPM_SPACE : " ";
    size_t n = strlen(space);
    while (out->used - floor >= n && memcmp(out->data + out->used - n, space, n) == 0)
        out->used -= n;
}

/* Nothing to replace and nothing to trim: only spaces change. */
static bool is_plain(const struct spm *m, const char *text, size_t n)
{
    if (m->rules.units || m->user.units || m->collapse_whitespace)
        return false;
    return m->byte_fallback || utf8_valid_prefix(text, n) == n;
}

static int normalize(
    const struct normalizer *step, const char *text, size_t n, enum place place, struct buffer *out, struct error *err)
{
    const struct spm *m = step->state;
    /* Behind an added token a text begins as it does at the front: the library is given such parts one by one. */
    bool first = place != PLACE_CONTINUED;
    const char *by = NULL;
    size_t by_n = 0, taken, floor = out->used;
    if (m->collapse_whitespace && first)
        for (; n > 0; text += taken, n -= taken) {
            taken = normalize_prefix(m, text, n, &by, &by_n);
            if (by_n != 1 || *by != ' ')
                break;
        }
    if (n == 0)
        return buffer_check(out, "normalised text", err);
    if (m->dummy_prefix && !m->whitespace_suffix && first)
        add_space(m, out);
    if (is_plain(m, text, n)) {
        add_escaped(m, text, n, out);
    } else {
        bool space_before = m->collapse_whitespace && first;
        for (; n > 0; text += taken, n -= taken) {
            taken = normalize_prefix(m, text, n, &by, &by_n);
            while (space_before && by_n > 0 && *by == ' ')
                by++, by_n--;
            if (by_n > 0) {
                add_escaped(m, by, by_n, out);
                space_before = by[by_n - 1] == ' ' && m->collapse_whitespace;
            }
        }
        if (m->collapse_whitespace && !out->failed)
            strip_end(m, floor, out);
    }
    if (m->dummy_prefix && m->whitespace_suffix)
        add_space(m, out);
    return buffer_check(out, "normalised text", err);
}

int spm_add_normalizer(struct tokenizer *t, struct error *err)
{
    return normalizer_add(t, (struct normalizer){.run = normalize, .state = t->state}, err);
}
