/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizes strings for comparison with other programs (tools/golden/bpe_compare.py) and for timing.
 *
 * tokenize_lines TOKENIZER PRESET FLAGS < strings > ids
 *
 * PRESET "-": none; FLAGS: a sum of enum tokenize_flag. Numbers are little-endian u32. In: length and bytes of each
 * string. Out, for each: number of ids, the ids, and 1 where they decode to the string again, else 0. The seconds
 * for opening and encoding, and the bytes, go to standard error. */
#include "base/clock.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct buffer read_all(FILE *f)
{
    struct buffer all = { 0 };
    char *room;
    while ((room = buffer_room(&all, 1 << 20))) {
        size_t n = fread(room, 1, 1 << 20, f);
        all.used += n;
        if (n == 0)
            break;
    }
    return all;
}

static int fail(const struct error *err)
{
    fprintf(stderr, "%s\n", err->text);
    return 1;
}

/* Encode each string; results collect in out. */
static int encode_all(const struct tokenizer *t, unsigned flags, const struct buffer *in, struct buffer *out,
    double *seconds, struct error *err)
{
    struct tokens ids = { 0 };
    struct buffer text = { 0 };
    int rc = 0;
    for (size_t at = 0; rc == 0 && at + 4 <= in->used;) {
        uint32_t n, count, same;
        memcpy(&n, in->data + at, 4);
        at += 4;
        if (n > in->used - at)
            return error_set(err, ERROR_FORMAT, "a string of %u bytes, but %zu are left", n, in->used - at);
        tokens_clear(&ids);
        double begun = clock_cpu_seconds();
        rc = tokenizer_encode(t, in->data + at, n, flags, &ids, err);
        *seconds += clock_cpu_seconds() - begun;
        buffer_clear(&text);
        if (rc == 0)
            rc = tokenizer_decode(t, ids.ids, ids.used, true, &text, err);
        count = (uint32_t)ids.used;
        same = text.used == n && (n == 0 || memcmp(text.data, in->data + at, n) == 0);
        buffer_add(out, &count, 4);
        buffer_add(out, ids.ids, ids.used * 4);
        buffer_add(out, &same, 4);
        at += n;
    }
    tokens_release(&ids);
    buffer_release(&text);
    return rc;
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    struct tokenizer *t;
    struct buffer out = { 0 };
    double seconds = 0;
    if (argc != 4) {
        fprintf(stderr, "usage: %s TOKENIZER PRESET FLAGS < strings > ids\n", argv[0]);
        return 2;
    }
    double begun = clock_cpu_seconds();
    if (tokenizer_open(&t, argv[1], strcmp(argv[2], "-") == 0 ? NULL : argv[2], &err) != 0)
        return fail(&err);
    double opened = clock_cpu_seconds() - begun;
    struct buffer in = read_all(stdin);
    int rc = encode_all(t, (unsigned)strtoul(argv[3], NULL, 10), &in, &out, &seconds, &err);
    if (rc == 0 && fwrite(out.data, 1, out.used, stdout) != out.used)
        rc = error_set(&err, ERROR_IO, "could not write the ids");
    fprintf(stderr, "%s: %d ids, opened in %.4f s, %zu bytes in %.4f s\n", tokenizer_describe(t), tokenizer_size(t),
        opened, in.used, seconds);
    tokenizer_close(t);
    buffer_release(&in);
    buffer_release(&out);
    return rc ? fail(&err) : 0;
}
