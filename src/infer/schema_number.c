/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers between bounds, written out without an exponent, compared digit by digit with the bounds. */
#include "infer/grammar_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_DIGITS 18 /* always fits 64 bits */
#define REAL_DIGITS 15  /* in all: different texts are different doubles */

/* Numbers of one sign: their magnitudes lie between low and high. */
struct numbers {
    struct builder *b;
    bool whole;
    uint32_t multiple, next;
    struct decimal low, high;
    int length;     /* digits before the point */
    uint32_t *free; /* nodes behind which no bound matters, 0: not built; see slot_of */
};

struct decimal decimal_of(const json_t *number)
{
    char text[48];
    struct decimal d = { .set = true };
    if (json_is_integer(number)) {
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(number));
        d.negative = text[0] == '-';
        d.n = d.point = (int)strlen(text) - d.negative;
        memcpy(d.digits, text + d.negative, (size_t)d.n);
    } else {
        double x = json_real_value(number);
        int precision = 14;
        do /* the shortest text of this double */
            snprintf(text, sizeof text, "%.*e", precision++, x);
        while (precision <= 16 && strtod(text, NULL) != x);
        d.negative = text[0] == '-';
        for (const char *c = text + d.negative; *c != 'e'; c++)
            if (*c != '.')
                d.digits[d.n++] = *c;
        d.point = (int)strtol(strchr(text, 'e') + 1, NULL, 10) + 1;
    }
    while (d.n > 0 && d.digits[d.n - 1] == '0')
        d.n--;
    if (d.n == 0 || d.digits[0] == '0') /* only zero begins so */
        return (struct decimal) { .set = true };
    return d;
}

static int digit_at(const struct numbers *x, const struct decimal *d, int position)
{
    int i = d->point - x->length + position;
    return i >= 0 && i < d->n ? d->digits[i] - '0' : 0;
}

/* Whether the bound has digits other than 0 from this position on. */
static bool has_more(const struct numbers *x, const struct decimal *d, int position)
{
    return d->n > 0 && d->point - x->length + position < d->n;
}

/* What was read so far: how many digits, whether they are those of the bounds, the remainder. */
struct reading {
    int position;
    bool at_low, at_high;
    uint32_t remainder;
};

static bool may_end(const struct numbers *x, const struct reading *r)
{
    bool low = !r->at_low || (!has_more(x, &x->low, r->position) && !x->low.strict);
    bool high = !r->at_high || has_more(x, &x->high, r->position) || !x->high.strict;
    return low && high && r->remainder == 0;
}

static uint32_t *slot_of(const struct numbers *x, const struct reading *r)
{
    size_t row = x->whole ? (size_t)(x->length - r->position) : (size_t)(x->length * (REAL_DIGITS + 1) + r->position);
    return &x->free[row * x->multiple + r->remainder];
}

static uint32_t build_rest(struct numbers *x, struct reading r);

static uint32_t build_digit(struct numbers *x, const struct reading *r)
{
    struct edge edges[10];
    uint32_t n = 0;
    int low = r->at_low ? digit_at(x, &x->low, r->position) : 0;
    int high = r->at_high ? digit_at(x, &x->high, r->position) : 9;
    int first = r->position == 0 && x->length > 1 && low == 0 ? 1 : low;
    for (int d = first; d <= high; d++) {
        struct reading then = { r->position + 1, r->at_low && d == low, r->at_high && d == high,
            (r->remainder * 10 + (uint32_t)d) % x->multiple };
        edges[n++] = (struct edge) { build_rest(x, then), (uint8_t)('0' + d), (uint8_t)('0' + d) };
    }
    return build_bytes(x->b, edges, n);
}

static uint32_t build_rest(struct numbers *x, struct reading r)
{
    bool is_free = !r.at_low && !r.at_high;
    uint32_t *slot = slot_of(x, &r), ways[2], n = 0;
    if (is_free && *slot)
        return *slot;
    if (r.position < x->length) {
        ways[n++] = build_digit(x, &r);
    } else {
        if (may_end(x, &r))
            ways[n++] = x->next;
        if (!x->whole && r.position < REAL_DIGITS) {
            uint32_t digit = build_digit(x, &r);
            ways[n++] = r.position == x->length ? build_byte(x->b, '.', digit) : digit;
        }
    }
    uint32_t node = build_split(x->b, ways, n);
    if (is_free)
        *slot = node;
    return node;
}

static uint32_t build_length(struct numbers *x, int length)
{
    struct reading r = { .at_low = x->low.set && (length == 1 || x->low.point == length),
        .at_high = x->high.set && x->high.point <= length };
    x->length = length;
    if (x->low.set && x->low.point > length)
        return build_split(x->b, NULL, 0);
    if (length > 1 && x->high.set && x->high.point < length)
        return build_split(x->b, NULL, 0);
    return build_digit(x, &r);
}

static uint32_t build_sign(struct numbers *x)
{
    uint32_t lengths[WHOLE_DIGITS];
    int most = x->whole ? WHOLE_DIGITS : REAL_DIGITS;
    for (int i = 0; i < most; i++)
        lengths[i] = build_length(x, i + 1);
    return build_split(x->b, lengths, (uint32_t)most);
}

uint32_t build_number(struct builder *b, const struct number_bounds *bounds, uint32_t next)
{
    const struct decimal above_zero = { .set = true, .strict = true };
    const struct decimal *low = &bounds->low, *high = &bounds->high;
    struct numbers x = { .b = b, .whole = bounds->whole, .multiple = bounds->multiple ? bounds->multiple : 1,
        .next = next };
    uint32_t ways[2], n = 0;
    size_t rows = x.whole ? WHOLE_DIGITS + 1 : (REAL_DIGITS + 1) * (REAL_DIGITS + 1);
    if (b->rc)
        return NODE_THE_END;
    x.free = calloc(rows * x.multiple, sizeof *x.free);
    if (!x.free) {
        b->rc = error_memory(b->err, rows * x.multiple * sizeof *x.free, "a grammar of numbers");
        return NODE_THE_END;
    }
    if (!(high->set && high->negative)) { /* zero and above: a low bound below zero says nothing */
        x.low = low->set && !low->negative ? *low : (struct decimal) { 0 };
        x.high = *high;
        ways[n++] = build_sign(&x);
    }
    if (!low->set || low->negative) { /* below zero, as magnitudes: the bounds change places */
        x.low = high->set && high->negative ? *high : above_zero;
        x.high = *low;
        ways[n++] = build_byte(b, '-', build_sign(&x));
    }
    free(x.free);
    return build_split(b, ways, n);
}
