/* SPDX-License-Identifier: Apache-2.0 */
/* The patterns of common tokenizers, matched by hand: the alternatives in their order, first match wins. Each
 * function gives exactly what its pattern gives, on valid UTF-8 (tools/golden/bpe_compare.py compares them with the
 * originals). */
#include "text/pretoken_impl.h"

#include "text/unicode.h"

#include <string.h>

#define WORD_EXTRA (UNICODE_LETTER | UNICODE_NUMBER)
#define UPPER_RUN (UNICODE_UPPER | UNICODE_OTHER | UNICODE_MARK)
#define LOWER_RUN (UNICODE_LOWER | UNICODE_OTHER | UNICODE_MARK)

struct character {
    unsigned class;
    unsigned bytes; /* 0: the text has ended */
};

static inline struct character many(const unsigned char *classes, const unsigned char *u)
{
    unsigned bytes = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    int32_t point = bytes == 2 ? (u[0] & 0x1f) << 6 | (u[1] & 0x3f)
        : bytes == 3           ? (u[0] & 0x0f) << 12 | (u[1] & 0x3f) << 6 | (u[2] & 0x3f)
                               : (u[0] & 0x07) << 18 | (u[1] & 0x3f) << 12 | (u[2] & 0x3f) << 6 | (u[3] & 0x3f);
    return (struct character) { point < CLASS_TABLE_SIZE ? classes[point] : unicode_class(point), bytes };
}

static inline struct character look(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    if (at >= n)
        return (struct character) { 0, 0 };
    unsigned char byte = (unsigned char)text[at];
    if (byte < 0x80)
        return (struct character) { classes[byte], 1 };
    return many(classes, (const unsigned char *)text + at);
}

/* End of the run of characters of a class in `any`, of at most `most` characters. */
static inline size_t run(
    const unsigned char *classes, const char *text, size_t at, size_t n, unsigned any, unsigned most)
{
    for (; most; most--) {
        struct character c = look(classes, text, at, n);
        if (!(c.class & any))
            break;
        at += c.bytes;
    }
    return at;
}

#define ALL (~0u)

/* End of the run of characters of no class in `none`. */
static inline size_t run_outside(const unsigned char *classes, const char *text, size_t at, size_t n, unsigned none)
{
    for (;;) {
        struct character c = look(classes, text, at, n);
        if (!c.bytes || c.class & none)
            return at;
        at += c.bytes;
    }
}

static inline bool newline(char c)
{
    return c == '\n' || c == '\r';
}

/* 's 't 're 've 'm 'll 'd behind the apostrophe at `at`; returns its end, or `at`. With `fold`, in any case: U+017F
 * (long s) is an s then. */
static inline size_t contraction(const char *text, size_t at, size_t n, bool fold)
{
    size_t left = n - at;
    if (left < 2)
        return at;
    char a = text[at + 1], b = left > 2 ? text[at + 2] : '\0';
    if (fold && a == '\xc5' && b == '\xbf')
        return at + 3;
    if (fold) {
        a |= a >= 'A' && a <= 'Z' ? 0x20 : 0;
        b |= b >= 'A' && b <= 'Z' ? 0x20 : 0;
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return at + 2;
    bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return two ? at + 3 : at;
}

/* \s+(?!\S)|\s+ : white space, its last character left to what follows. */
static inline size_t white_space(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    size_t last = at;
    for (size_t end = at;;) {
        struct character c = look(classes, text, end, n);
        if (!c.bytes)
            return end;
        if (!(c.class & UNICODE_SPACE))
            return last > at ? last : end;
        last = end;
        end += c.bytes;
    }
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ : lines end a piece. to_end: \s++$ comes first. */
static inline size_t lines(const unsigned char *classes, const char *text, size_t at, size_t n, bool to_end)
{
    size_t after_newline = 0, end = at;
    for (;;) {
        struct character c = look(classes, text, end, n);
        if (!(c.class & UNICODE_SPACE))
            break;
        end += c.bytes;
        if (newline(text[end - 1]))
            after_newline = end;
    }
    if (to_end && end == n)
        return end;
    return after_newline ? after_newline : white_space(classes, text, at, n);
}

/* ?[^\s\p{L}\p{N}]+ and what may trail it. Returns `at` where there are no symbols. */
static inline size_t symbols(const unsigned char *classes, const char *text, size_t at, size_t n, unsigned none,
    bool trail_newline, bool trail_slash)
{
    size_t from = text[at] == ' ' ? at + 1 : at;
    size_t end = run_outside(classes, text, from, n, none);
    if (end == from)
        return at;
    while (end < n && ((trail_newline && newline(text[end])) || (trail_slash && text[end] == '/')))
        end++;
    return end;
}

static size_t next_gpt2(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    size_t end;
    if (text[at] == '\'' && (end = contraction(text, at, n, false)) > at)
        return end;
    size_t from = text[at] == ' ' ? at + 1 : at;
    struct character c = look(classes, text, from, n);
    if (c.class & UNICODE_LETTER)
        return run(classes, text, from + c.bytes, n, UNICODE_LETTER, ALL);
    if (c.class & UNICODE_NUMBER)
        return run(classes, text, from + c.bytes, n, UNICODE_NUMBER, ALL);
    end = symbols(classes, text, at, n, UNICODE_SPACE | WORD_EXTRA, false, false);
    return end > at ? end : white_space(classes, text, at, n);
}

/* cl100k and its kin: [^\r\n\p{L}\p{N}]?\p{L}+ for words (letters: what makes a word), \p{N}{1,digits}. */
static inline size_t next_words(const unsigned char *classes, const char *text, size_t at, size_t n, unsigned letters,
    unsigned digits, bool to_end)
{
    size_t end;
    if (text[at] == '\'' && (end = contraction(text, at, n, true)) > at)
        return end;
    struct character c = look(classes, text, at, n);
    if (c.class & letters)
        return run(classes, text, at + c.bytes, n, letters, ALL);
    if (c.class & UNICODE_NUMBER)
        return run(classes, text, at + c.bytes, n, UNICODE_NUMBER, digits - 1);
    if (!newline(text[at]) && (end = run(classes, text, at + c.bytes, n, letters, ALL)) > at + c.bytes)
        return end;
    end = symbols(classes, text, at, n, UNICODE_SPACE | UNICODE_NUMBER | letters, true, false);
    return end > at ? end : lines(classes, text, at, n, to_end);
}

static size_t next_cl100k(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    return next_words(classes, text, at, n, UNICODE_LETTER, 3, true);
}

static size_t next_llama3(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    return next_words(classes, text, at, n, UNICODE_LETTER, 3, false);
}

static size_t next_qwen2(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    return next_words(classes, text, at, n, UNICODE_LETTER, 1, false);
}

static size_t next_qwen35(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    return next_words(classes, text, at, n, UNICODE_LETTER | UNICODE_MARK, 1, false);
}

/* [upper]*[lower]+ from `at`, where some characters are both: what the greedy star took it gives back until one that is
 * lower begins the plus. Returns the end, or 0; *upper_end is the end of [upper]*. */
static inline size_t cased_word(const unsigned char *classes, const char *text, size_t at, size_t n, size_t *upper_end)
{
    size_t both_end = 0, end = at;
    struct character c;
    for (; (c = look(classes, text, end, n)).class & UPPER_RUN; end += c.bytes)
        if (c.class & LOWER_RUN)
            both_end = end + c.bytes;
    *upper_end = end;
    return c.class & LOWER_RUN ? run(classes, text, end, n, LOWER_RUN, ALL) : both_end;
}

/* The two word alternatives of o200k, each with and without the character in front; returns the end, or `at`. */
static inline size_t words_by_case(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    struct character c = look(classes, text, at, n);
    size_t plain_upper = at, front_upper = at, end;
    bool front = !newline(text[at]) && !(c.class & WORD_EXTRA);
    bool plain = !front || c.class & UNICODE_MARK;
    if (front && (end = cased_word(classes, text, at + c.bytes, n, &front_upper)))
        return end;
    if (plain && (end = cased_word(classes, text, at, n, &plain_upper)))
        return end;
    if (front && front_upper > at + c.bytes)
        return front_upper;
    return plain ? plain_upper : at;
}

static inline size_t next_by_case(const unsigned char *classes, const char *text, size_t at, size_t n, unsigned digits,
    bool contractions)
{
    size_t end = words_by_case(classes, text, at, n);
    if (end > at)
        return contractions && end < n && text[end] == '\'' ? contraction(text, end, n, true) : end;
    struct character c = look(classes, text, at, n);
    if (c.class & UNICODE_NUMBER)
        return run(classes, text, at + c.bytes, n, UNICODE_NUMBER, digits - 1);
    end = symbols(classes, text, at, n, UNICODE_SPACE | WORD_EXTRA, true, true);
    return end > at ? end : lines(classes, text, at, n, false);
}

static size_t next_o200k(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    return next_by_case(classes, text, at, n, 3, true);
}

static size_t next_tekken(const unsigned char *classes, const char *text, size_t at, size_t n)
{
    return next_by_case(classes, text, at, n, 1, false);
}

#define SPACES "\\s+(?!\\S)|\\s+"
#define FOLDED "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define FRONT "[^\\r\\n\\p{L}\\p{N}]?"
#define UPPERS "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWERS "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SYMBOLS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n"
#define LINES "]*|\\s*[\\r\\n]+|" SPACES

/* The first of each name is the one that pretoken_new_named compiles for patterns matched by name, and that tokenizers
 * are saved with: what reads it may take {1,3}+ for a repeated repetition, and $ for the end of a line. */
static const struct known_pattern known_patterns[] = {
    { "gpt2", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES, next_gpt2 },
    { "gpt2", "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES, next_gpt2 },
    { "gpt2", "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s", next_gpt2 },
    { "cl100k",
        "'(?i:[sdmt]|ll|ve|re)|" FRONT "\\p{L}+|\\p{N}{1,3}" SYMBOLS "]*|\\s+\\z|\\s*[\\r\\n]+|" SPACES, next_cl100k },
    { "cl100k",
        "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|"
        "\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
        next_cl100k },
    { "llama3", FOLDED "|" FRONT "\\p{L}+|\\p{N}{1,3}" SYMBOLS LINES, next_llama3 },
    { "qwen2", FOLDED "|" FRONT "\\p{L}+|\\p{N}" SYMBOLS LINES, next_qwen2 },
    { "qwen35", FOLDED "|" FRONT "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n" LINES, next_qwen35 },
    { "o200k",
        FRONT UPPERS "*" LOWERS "+" FOLDED "?|" FRONT UPPERS "+" LOWERS "*" FOLDED "?|\\p{N}{1,3}" SYMBOLS "/" LINES,
        next_o200k },
    { "tekken", FRONT UPPERS "*" LOWERS "+|" FRONT UPPERS "+" LOWERS "*|\\p{N}" SYMBOLS "/" LINES, next_tekken },
};

#define KNOWN_PATTERNS (sizeof known_patterns / sizeof known_patterns[0])

const struct known_pattern *known_pattern_named(const char *name)
{
    for (size_t i = 0; i < KNOWN_PATTERNS; i++)
        if (strcmp(known_patterns[i].name, name) == 0)
            return &known_patterns[i];
    return NULL;
}

const struct known_pattern *known_pattern_spelled(const char *text, size_t n)
{
    for (size_t i = 0; i < KNOWN_PATTERNS; i++)
        if (strlen(known_patterns[i].text) == n && memcmp(known_patterns[i].text, text, n) == 0)
            return &known_patterns[i];
    return NULL;
}
