/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/preview.h"

#include "base/utf8.h"
#include "cli/terminal.h"
#include "text/unicode.h"

#include <inttypes.h>
#include <string.h>

#define ISOLATE "\xe2\x81\xa8"     /* U+2068: its direction is its own */
#define ISOLATE_END "\xe2\x81\xa9" /* U+2069 */
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

static void shown(struct buffer *out, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        int32_t point;
        size_t length = (size_t)utf8_decode(text + at, n - at, &point);
        if (point == '\n')
            buffer_add_text(out, "\xe2\x86\xb5"); /* U+21B5; the line itself ends behind the token */
        else if (point < 0)
            for (size_t i = 0; i < length; i++)
                buffer_printf(out, "\\x%02x", (unsigned char)text[at + i]);
        else if (point >= 0x80 && unicode_hidden(point))
            buffer_printf(out, "<U+%04X>", (unsigned)point);
        else
            terminal_clean(out, text + at, length);
        at += length;
    }
}

static int token(struct buffer *out, const struct tokenizer *t, int32_t id, struct error *err)
{
    struct buffer bytes = {0};
    size_t n;
    int rc = tokenizer_add_bytes(t, id, &bytes, err);
    if (rc == 0 && bytes.used == 0) {
        const char *piece = tokenizer_piece(t, id, &n);
        buffer_add(&bytes, piece, n);
    }
    buffer_add_text(out, ISOLATE);
    shown(out, bytes.data, bytes.used);
    buffer_add_text(out, ISOLATE_END);
    if (bytes.used && bytes.data[bytes.used - 1] == '\n')
        buffer_add_byte(out, '\n');
    buffer_release(&bytes);
    return rc;
}

int preview_samples(struct buffer *out, const struct dataset *d, const struct tokenizer *t, size_t n, bool colour,
    struct error *err)
{
    const char *open = colour ? GREEN : "\xe2\x9f\xa6", *close = colour ? PLAIN : "\xe2\x9f\xa7";
    size_t samples = dataset_size(d)->samples;
    int rc = 0;
    for (size_t i = 0; i < n && i < samples && rc == 0; i++) {
        struct train_text s;
        bool inside = false;
        dataset_sample(d, i, &s);
        buffer_printf(out, "sample %zu of %zu, %d tokens\n", i + 1, samples, s.count);
        for (int k = 0; k < s.count && rc == 0; k++) {
            bool learned = k > 0 && s.targets[k - 1] != TRAIN_SKIP;
            if (inside && !learned)
                buffer_add_text(out, close);
            buffer_add_text(out, k ? "\xe2\x94\x82" : "");
            if (learned && !inside)
                buffer_add_text(out, open);
            inside = learned;
            rc = token(out, t, s.ids[k], err);
        }
        buffer_add_text(out, inside ? close : "");
        buffer_add_text(out, "\n\n");
    }
    return rc ? rc : buffer_check(out, "a preview", err);
}

static void named(struct buffer *out, const char *what, const struct render_named *list)
{
    if (list->n == 0)
        return;
    buffer_printf(out, "%-9s %" PRIu64, what, list->n);
    for (uint64_t i = 0; i < list->n && i < RENDER_NAMES; i++) {
        buffer_add_text(out, i ? ", " : ": ");
        shown(out, list->at[i], strlen(list->at[i]));
    }
    buffer_add_text(out, list->n > RENDER_NAMES ? ", ...\n" : "\n");
}

void preview_sums(struct buffer *out, const struct dataset *d, const struct render_counts *counts)
{
    const struct dataset_size *s = dataset_size(d);
    buffer_printf(out, "samples   %zu\ntokens    %" PRIu64 ", longest %d\nlearned   %" PRIu64 " (%.1f%%)\n", s->samples,
        s->tokens, s->longest, s->counted, 100.0 * (double)s->counted / (double)s->tokens);
    if (!counts)
        return;
    named(out, "too long", &counts->too_long);
    named(out, "empty", &counts->empty);
}
