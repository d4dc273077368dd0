/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of JSON (RFC 8259) as nodes. */
#include "infer/grammar_impl.h"

#include <string.h>

#define BLANKS_MAX 32 /* behind a new line: indentation, and an end to it */
#define WHOLE_DIGITS 18 /* always fits 64 bits */
#define REAL_DIGITS 15  /* different texts are different doubles */

uint32_t build_blank(struct builder *b, uint32_t next)
{
    if (b->blank == 0) {
        uint32_t indent = NODE_THE_END;
        for (int i = 0; i < BLANKS_MAX; i++)
            indent = build_either(b, NODE_THE_END, build_byte(b, ' ', indent));
        const struct edge some[] = { { NODE_THE_END, ' ', ' ' }, { indent, '\n', '\n' } };
        b->blank = build_either(b, NODE_THE_END, build_bytes(b, some, 2));
    }
    return build_call(b, b->blank, next);
}

static uint32_t build_hex(struct builder *b, uint32_t next)
{
    const struct edge edges[] = { { next, '0', '9' }, { next, 'a', 'f' }, { next, 'A', 'F' } };
    return build_bytes(b, edges, 3);
}

/* What follows "\u": neither U+0000, which many readers refuse, nor half a surrogate pair. */
static uint32_t build_unicode_escape(struct builder *b, uint32_t next)
{
    uint32_t h1 = build_hex(b, next), h2 = build_hex(b, h1), h3 = build_hex(b, h2);
    const struct edge not_zero[] = { { next, '1', '9' }, { next, 'a', 'f' }, { next, 'A', 'F' } };
    uint32_t z3 = build_bytes(b, not_zero, 3);
    const struct edge zero2[] = { { z3, '0', '0' }, { h1, '1', '9' }, { h1, 'a', 'f' }, { h1, 'A', 'F' } };
    uint32_t z2 = build_bytes(b, zero2, 4);
    const struct edge zero1[] = { { z2, '0', '0' }, { h2, '1', '9' }, { h2, 'a', 'f' }, { h2, 'A', 'F' } };
    uint32_t z1 = build_bytes(b, zero1, 4);
    const struct edge low[] = { { h2, 'c', 'f' }, { h2, 'C', 'F' } };
    uint32_t behind_low_d = build_bytes(b, low, 2);
    const struct edge low_d[] = { { behind_low_d, 'd', 'd' }, { behind_low_d, 'D', 'D' } };
    uint32_t second = build_byte(b, '\\', build_byte(b, 'u', build_bytes(b, low_d, 2)));
    uint32_t high = build_hex(b, build_hex(b, second));
    const struct edge behind_d[] = { { h2, '0', '7' }, { high, '8', '9' }, { high, 'a', 'b' }, { high, 'A', 'B' } };
    uint32_t d = build_bytes(b, behind_d, 4);
    const struct edge first[] = { { z1, '0', '0' }, { h3, '1', '9' }, { h3, 'a', 'c' }, { d, 'd', 'd' },
        { h3, 'e', 'f' }, { h3, 'A', 'C' }, { d, 'D', 'D' }, { h3, 'E', 'F' } };
    return build_bytes(b, first, 8);
}

uint32_t build_character(struct builder *b)
{
    uint32_t end = NODE_THE_END;
    if (b->character)
        return b->character;
    uint32_t k1 = build_bytes(b, &(struct edge) { end, 0x80, 0xbf }, 1);
    uint32_t k2 = build_bytes(b, &(struct edge) { k1, 0x80, 0xbf }, 1);
    uint32_t e0 = build_bytes(b, &(struct edge) { k1, 0xa0, 0xbf }, 1);
    uint32_t ed = build_bytes(b, &(struct edge) { k1, 0x80, 0x9f }, 1);
    uint32_t f0 = build_bytes(b, &(struct edge) { k2, 0x90, 0xbf }, 1);
    uint32_t f1 = build_bytes(b, &(struct edge) { k2, 0x80, 0xbf }, 1);
    uint32_t f4 = build_bytes(b, &(struct edge) { k2, 0x80, 0x8f }, 1);
    const struct edge escapes[] = { { end, '"', '"' }, { end, '\\', '\\' }, { end, '/', '/' }, { end, 'b', 'b' },
        { end, 'f', 'f' }, { end, 'n', 'n' }, { end, 'r', 'r' }, { end, 't', 't' },
        { build_unicode_escape(b, end), 'u', 'u' } };
    uint32_t escape = build_bytes(b, escapes, 9);
    const struct edge edges[] = { { end, 0x20, 0x21 }, { end, 0x23, 0x5b }, { escape, '\\', '\\' }, { end, 0x5d, 0x7f },
        { k1, 0xc2, 0xdf }, { e0, 0xe0, 0xe0 }, { k2, 0xe1, 0xec }, { ed, 0xed, 0xed }, { k2, 0xee, 0xef },
        { f0, 0xf0, 0xf0 }, { f1, 0xf1, 0xf3 }, { f4, 0xf4, 0xf4 } };
    return b->character = build_bytes(b, edges, 12);
}

uint32_t build_string(struct builder *b, uint32_t least, uint32_t most, uint32_t next)
{
    uint32_t one = build_character(b);
    uint32_t repeat = build_repeat(b, one, one, least, most, build_byte(b, '"', next));
    if (b->rc == 0)
        b->g->nodes[repeat].characters = true;
    return build_byte(b, '"', repeat);
}

/* One to `most` digits, the first without its zero; `next` follows any of them. */
static uint32_t build_digits(struct builder *b, int most, uint32_t next)
{
    uint32_t rest = next;
    for (int i = 1; i < most; i++)
        rest = build_either(b, next, build_bytes(b, &(struct edge) { rest, '0', '9' }, 1));
    return build_bytes(b, &(struct edge) { rest, '1', '9' }, 1);
}

static uint32_t build_any_digits(struct builder *b, int most, uint32_t next)
{
    uint32_t rest = build_bytes(b, &(struct edge) { next, '0', '9' }, 1);
    for (int i = 1; i < most; i++)
        rest = build_bytes(b, &(struct edge) { build_either(b, next, rest), '0', '9' }, 1);
    return rest;
}

uint32_t build_free_number(struct builder *b, bool whole, uint32_t next)
{
    uint32_t *shared = whole ? &b->whole : &b->number;
    if (*shared == 0) {
        uint32_t end = NODE_THE_END, zero;
        if (!whole) {
            uint32_t exponent = build_any_digits(b, 2, end);
            const struct edge sign[] = { { exponent, '+', '+' }, { exponent, '-', '-' } };
            uint32_t power = build_either(b, exponent, build_bytes(b, sign, 2));
            const struct edge e[] = { { power, 'e', 'e' }, { power, 'E', 'E' } };
            end = build_either(b, end, build_bytes(b, e, 2));
            end = build_either(b, end, build_byte(b, '.', build_any_digits(b, REAL_DIGITS, end)));
        }
        zero = build_byte(b, '0', end);
        uint32_t digits = build_digits(b, whole ? WHOLE_DIGITS : REAL_DIGITS, end);
        uint32_t minus = build_byte(b, '-', whole ? digits : build_either(b, zero, digits));
        *shared = build_split(b, (const uint32_t[]) { zero, digits, minus }, 3);
    }
    return build_call(b, *shared, next);
}

uint32_t build_array(struct builder *b, uint32_t item, uint32_t least, uint32_t most, uint32_t next)
{
    uint32_t first = build_blank(b, item), close = build_byte(b, ']', next);
    uint32_t again = build_byte(b, ',', first);
    uint32_t repeat = build_repeat(b, first, again, least, most, build_blank(b, close));
    return build_byte(b, '[', repeat);
}

static uint32_t build_any_object(struct builder *b, uint32_t value)
{
    uint32_t colon = build_byte(b, ':', build_either(b, value, build_byte(b, ' ', value)));
    uint32_t first = build_blank(b, build_string(b, 0, REPEAT_FOREVER, colon));
    uint32_t again = build_byte(b, ',', first);
    uint32_t close = build_blank(b, build_byte(b, '}', NODE_THE_END));
    return build_byte(b, '{', build_repeat(b, first, again, 0, REPEAT_FOREVER, close));
}

uint32_t build_any(struct builder *b, uint32_t next)
{
    if (b->any == 0) {
        uint32_t end = NODE_THE_END;
        b->any = build_promise(b);
        uint32_t value = build_call(b, b->any, end);
        const uint32_t kinds[] = { build_any_object(b, value), build_array(b, value, 0, REPEAT_FOREVER, end),
            build_string(b, 0, REPEAT_FOREVER, end), build_free_number(b, false, end), build_text(b, "true", 4, end),
            build_text(b, "false", 5, end), build_text(b, "null", 4, end) };
        build_keep(b, b->any, build_split(b, kinds, 7));
    }
    return build_call(b, b->any, next);
}

/* ---- names that are not these ---- */

/* How UTF-8 goes on: the states of well-formed sequences (RFC 3629), those of build_character without escapes. */
enum utf8_state { AT_START, ONE_MORE, TWO_MORE, AFTER_E0, AFTER_ED, AFTER_F0, THREE_MORE, AFTER_F4, UTF8_STATES };

static const struct range {
    uint8_t from, low, high, to;
} ranges[] = { { AT_START, 0x20, 0x21, AT_START }, { AT_START, 0x23, 0x5b, AT_START },
    { AT_START, 0x5d, 0x7f, AT_START },
    { AT_START, 0xc2, 0xdf, ONE_MORE }, { AT_START, 0xe0, 0xe0, AFTER_E0 }, { AT_START, 0xe1, 0xec, TWO_MORE },
    { AT_START, 0xed, 0xed, AFTER_ED }, { AT_START, 0xee, 0xef, TWO_MORE }, { AT_START, 0xf0, 0xf0, AFTER_F0 },
    { AT_START, 0xf1, 0xf3, THREE_MORE }, { AT_START, 0xf4, 0xf4, AFTER_F4 }, { ONE_MORE, 0x80, 0xbf, AT_START },
    { TWO_MORE, 0x80, 0xbf, ONE_MORE }, { AFTER_E0, 0xa0, 0xbf, ONE_MORE }, { AFTER_ED, 0x80, 0x9f, ONE_MORE },
    { AFTER_F0, 0x90, 0xbf, TWO_MORE }, { THREE_MORE, 0x80, 0xbf, TWO_MORE }, { AFTER_F4, 0x80, 0x8f, TWO_MORE } };

#define N_RANGES (sizeof ranges / sizeof ranges[0])

struct other {
    struct builder *b;
    const char *const *names;
    uint32_t states[UTF8_STATES]; /* of a name that has left all of `names` */
    uint32_t close;
};

/* Nodes of names[from .. to), which agree in `depth` bytes: bytes none of them has next lead to a free state. */
static uint32_t build_apart(struct other *o, size_t from, size_t to, size_t depth, enum utf8_state state)
{
    struct edge edges[256];
    uint32_t n = 0;
    uint32_t own[256] = { 0 };
    uint8_t to_state[256];
    memset(to_state, UTF8_STATES, sizeof to_state);
    for (size_t i = 0; i < N_RANGES; i++)
        for (unsigned c = ranges[i].low; ranges[i].from == state && c <= ranges[i].high; c++)
            to_state[c] = ranges[i].to;
    bool named = from < to && !o->names[from][depth];
    while (from < to && !o->names[from][depth])
        from++;
    while (from < to) {
        unsigned char c = (unsigned char)o->names[from][depth];
        size_t end = from + 1;
        while (end < to && (unsigned char)o->names[end][depth] == c)
            end++;
        if (to_state[c] < UTF8_STATES)
            own[c] = build_apart(o, from, end, depth + 1, (enum utf8_state)to_state[c]);
        from = end;
    }
    for (unsigned c = 0; c < 256; c++) {
        if (to_state[c] < UTF8_STATES) {
            uint32_t target = own[c] ? own[c] : o->states[to_state[c]];
            if (n > 0 && edges[n - 1].target == target && edges[n - 1].high + 1u == c)
                edges[n - 1].high = (uint8_t)c;
            else
                edges[n++] = (struct edge) { target, (uint8_t)c, (uint8_t)c };
        }
    }
    if (state == AT_START && !named)
        edges[n++] = (struct edge) { o->close, '"', '"' };
    return build_bytes(o->b, edges, n);
}

uint32_t build_other_name(struct builder *b, const char *const *names, size_t n_names, uint32_t next)
{
    struct other o = { .b = b, .names = names, .close = next };
    if (n_names == 0)
        return build_string(b, 0, REPEAT_FOREVER, next);
    for (int i = 0; i < UTF8_STATES; i++)
        o.states[i] = build_promise(b);
    for (int i = 0; i < UTF8_STATES; i++)
        build_keep(b, o.states[i], build_apart(&o, 0, 0, 0, (enum utf8_state)i));
    return build_byte(b, '"', build_apart(&o, 0, n_names, 0, AT_START));
}
