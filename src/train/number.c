/* SPDX-License-Identifier: Apache-2.0 */
#include "train/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 400 /* bytes of a number; more than any double has before it is infinite */
#define SAME 1e-12     /* of the larger one */

/* What is left of a text. */
struct scan {
    const char *at, *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool digit_at(const struct scan *s, size_t i)
{
    return (size_t)(s->end - s->at) > i && is_digit(s->at[i]);
}

static bool takes(struct scan *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
        return false;
    s->at += n;
    return true;
}

/* The digits of a number; what does not fit is dropped, and the number with it. */
struct digits {
    char text[DIGITS_MAX + 1];
    size_t n;
    bool full;
};

static void add(struct digits *d, char c)
{
    d->full |= d->n == DIGITS_MAX;
    if (!d->full)
        d->text[d->n++] = c;
}

static void take_digits(struct scan *s, struct digits *d)
{
    while (digit_at(s, 0))
        add(d, *s->at++);
}

/* "1,234,567": a comma counts where one to three digits are in front of it and exactly three behind. */
static void take_whole(struct scan *s, struct digits *d)
{
    size_t before = d->n;
    take_digits(s, d);
    bool grouped = d->n - before >= 1 && d->n - before <= 3;
    while (grouped && s->at < s->end && *s->at == ',' && digit_at(s, 1) && digit_at(s, 2) && digit_at(s, 3)
        && !digit_at(s, 4)) {
        s->at++;
        take_digits(s, d);
    }
}

/* Digits without sign. Leaves s as it is where there are none. */
static bool take_unsigned(struct scan *s, double *out)
{
    struct digits d = { .n = 0 };
    if (!digit_at(s, 0) && !(s->at < s->end && *s->at == '.' && digit_at(s, 1)))
        return false;
    take_whole(s, &d);
    if (s->at < s->end && *s->at == '.' && digit_at(s, 1)) {
        add(&d, *s->at++);
        take_digits(s, &d);
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        size_t sign = s->end - s->at > 1 && (s->at[1] == '-' || s->at[1] == '+');
        if (digit_at(s, 1 + sign)) {
            for (size_t i = 0; i <= sign; i++)
                add(&d, *s->at++);
            take_digits(s, &d);
        }
    }
    d.text[d.n] = '\0';
    *out = d.full ? INFINITY : strtod(d.text, NULL);
    return true;
}

static double take_sign(struct scan *s)
{
    if (takes(s, "-") || takes(s, "\xe2\x88\x92"))
        return -1;
    takes(s, "+");
    return 1;
}

static bool take_signed(struct scan *s, double *out)
{
    struct scan from = *s;
    double sign = take_sign(s);
    if (take_unsigned(s, out)) {
        *out *= sign;
        return true;
    }
    *s = from;
    return false;
}

/* \frac{a}{b} of two plain numbers. */
static bool take_latex(struct scan *s, double *out)
{
    struct scan from = *s;
    double sign = take_sign(s), above, below;
    if ((takes(s, "\\frac{") || takes(s, "\\dfrac{") || takes(s, "\\tfrac{")) && take_signed(s, &above)
        && takes(s, "}{") && take_signed(s, &below) && takes(s, "}") && below != 0) {
        *out = sign * above / below;
        return true;
    }
    *s = from;
    return false;
}

static bool take_number(struct scan *s, double *out)
{
    double below;
    if (take_latex(s, out))
        return true;
    if (!take_signed(s, out))
        return false;
    struct scan slash = *s;
    if (takes(&slash, "/") && take_unsigned(&slash, &below) && below != 0) {
        *out /= below;
        *s = slash;
    }
    return true;
}

static bool joins(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ')' || c == ']' || c == '}';
}

/* The first number of [at, end), or the last. */
static bool find(const char *at, const char *end, bool first, double *out)
{
    struct scan s = { at, end };
    bool found = false;
    double x;
    while (s.at < s.end && !(found && first)) {
        const char *from = s.at;
        if (s.at > at && joins(s.at[-1]) && (*s.at == '-' || *s.at == '+' || *s.at == '\xe2'))
            s.at++;
        else if (!take_number(&s, &x))
            s.at++;
        else if (isfinite(x)) {
            *out = x;
            found = true;
        }
        if (s.at == from)
            s.at++;
    }
    return found;
}

/* Behind the last `word`; NULL where there is none. */
static const char *behind_last(const char *text, size_t n, const char *word)
{
    size_t m = strlen(word);
    for (size_t at = n >= m ? n - m + 1 : 0; at-- > 0;)
        if (memcmp(text + at, word, m) == 0)
            return text + at + m;
    return NULL;
}

/* Where the bracket that is open at `at` closes, or the end. */
static const char *close_of(const char *at, const char *end)
{
    for (int open = 1; at < end; at++) {
        open += (*at == '{') - (*at == '}');
        if (open == 0)
            break;
    }
    return at;
}

bool number_of_answer(const char *text, size_t n, double *out)
{
    const char *at = behind_last(text, n, "####");
    if (at)
        return find(at, text + n, true, out);
    at = behind_last(text, n, "\\boxed{");
    if (at)
        return find(at, close_of(at, text + n), false, out);
    return n > 0 && find(text, text + n, false, out);
}

bool number_equal(double a, double b)
{
    return fabs(a - b) <= SAME * fmax(fabs(a), fabs(b));
}
