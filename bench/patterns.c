/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokenizer patterns matched by hand against the same patterns in PCRE2 (with its JIT), on the same text, turn
 * by turn: a hand-written matcher stays only where it is faster.
 *
 *   bench-patterns TEXT...
 *
 * Prints one JSON line for each pattern and text; rates are medians. Ends with an error where the two cut differently.
 */
#include "base/clock.h"
#include "base/filemap.h"
#include "text/pretoken_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 9
#define TEXT_BYTES_MAX (1u << 20)

struct cuts {
    const char *text;
    uint64_t hash; /* of where pieces end */
    size_t pieces;
};

static int note_cut(void *context, const char *piece, size_t n, struct error *err)
{
    struct cuts *c = context;
    (void)err;
    c->hash = (c->hash ^ (uint64_t)(piece + n - c->text)) * 0x100000001b3u;
    c->pieces++;
    return 0;
}

static int new_regex(struct pretoken **out, const struct known_pattern *known, struct error *err)
{
    struct pretoken_step step = { .kind = STEP_REGEX, .behavior = ISOLATED };
    int rc = pretoken_new(out, err);
    if (rc == 0)
        rc = regex_new(&step.regex, known->text, strlen(known->text), 0, err);
    return rc ? rc : pretoken_add(*out, step, err);
}

/* Seconds for one turn. */
static int run_once(const struct pretoken *p, const char *text, size_t n, struct cuts *cuts, double *seconds,
    struct error *err)
{
    struct scratch s = { 0 };
    *cuts = (struct cuts) { .text = text };
    double begun = clock_cpu_seconds();
    int rc = pretoken_run(p, &s, text, n, PLACE_FIRST, note_cut, cuts, err);
    *seconds = clock_cpu_seconds() - begun;
    for (int i = 0; i < 2; i++) {
        buffer_release(&s.pieces[i]);
        buffer_release(&s.prefixed[i]);
    }
    regex_match_close(s.match);
    return rc;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int compare(const char *name, const char *file, const char *text, size_t n, struct error *err)
{
    struct pretoken *hand = NULL, *regex = NULL;
    struct cuts by_hand, by_regex;
    double hand_took[ROUNDS], regex_took[ROUNDS];
    int rc = pretoken_new_named(&hand, name, err);
    if (rc == 0)
        rc = new_regex(&regex, known_pattern_named(name), err);
    for (int i = 0; rc == 0 && i < ROUNDS; i++) {
        rc = run_once(hand, text, n, &by_hand, &hand_took[i], err);
        if (rc == 0)
            rc = run_once(regex, text, n, &by_regex, &regex_took[i], err);
        if (rc == 0 && by_hand.hash != by_regex.hash)
            rc = error_set(err, ERROR_FORMAT, "%s: %zu pieces by hand, %zu by PCRE2, or cut elsewhere", name,
                by_hand.pieces, by_regex.pieces);
    }
    if (rc == 0) {
        qsort(hand_took, ROUNDS, sizeof *hand_took, rising);
        qsort(regex_took, ROUNDS, sizeof *regex_took, rising);
        double h = hand_took[ROUNDS / 2], r = regex_took[ROUNDS / 2], mb = (double)n * 1e-6;
        printf("{\"bench\": \"pattern\", \"pattern\": \"%s\", \"text\": \"%s\", \"mb_per_s\": %.1f, "
               "\"pcre2_mb_per_s\": %.1f, \"ratio\": %.2f}\n", name, file, mb / h, mb / r, r / h);
    }
    pretoken_close(hand);
    pretoken_close(regex);
    return rc;
}

static int compare_all(const char *path, struct error *err)
{
    static const char *const names[] = { "gpt2", "cl100k", "llama3", "qwen2", "qwen35", "o200k", "tekken" };
    const char *slash = strrchr(path, '/');
    struct filemap file;
    int rc = filemap_open(&file, path, err);
    if (rc)
        return rc;
    size_t n = file.size < TEXT_BYTES_MAX ? file.size : TEXT_BYTES_MAX;
    for (size_t i = 0; rc == 0 && i < sizeof names / sizeof names[0]; i++)
        rc = compare(names[i], slash ? slash + 1 : path, (const char *)file.data, n, err);
    filemap_close(&file);
    return rc;
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    int rc = 0;
    for (int i = 1; rc == 0 && i < argc; i++)
        rc = compare_all(argv[i], &err);
    if (rc)
        fprintf(stderr, "%s\n", err.text);
    return rc != 0;
}
