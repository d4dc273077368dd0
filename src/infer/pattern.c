/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions over the characters of a JSON string. Read into a tree, then built from the end. */
#include "infer/grammar_impl.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 20000
#define RANGES_MAX 4096
#define DEPTH_MAX 100
#define COUNT_MAX 1000

/* The last two are anchors. */
enum part_kind { PART_EMPTY, PART_SET, PART_CAT, PART_EITHER, PART_REPEAT, PART_BEGIN, PART_STOP };

struct part {
    enum part_kind kind;
    int left, right;         /* CAT, EITHER; REPEAT: left */
    uint32_t least, most;    /* REPEAT */
    size_t ranges, n_ranges; /* SET, sorted and apart */
};

struct range {
    int32_t low, high;
};

struct reader {
    struct builder *b;
    const char *pattern, *at;
    int depth, n_parts;
    size_t n_ranges;
    struct part parts[PARTS_MAX];
    struct range ranges[RANGES_MAX];
};

static int refuse(struct reader *r, const char *what)
{
    builder_fail(r->b, ERROR_UNSUPPORTED, "pattern \"%.80s\": %s at byte %zu", r->pattern, what,
        (size_t)(r->at - r->pattern));
    return 0;
}

static int add_part(struct reader *r, struct part part)
{
    if (r->n_parts == PARTS_MAX) {
        builder_fail(r->b, ERROR_LIMIT, "pattern \"%.80s\" has more than %d parts", r->pattern, PARTS_MAX);
        return 0;
    }
    r->parts[r->n_parts] = part;
    return r->n_parts++;
}

static void add_range(struct reader *r, int32_t low, int32_t high)
{
    if (r->n_ranges == RANGES_MAX)
        builder_fail(r->b, ERROR_LIMIT, "pattern \"%.80s\" has more than %d ranges", r->pattern, RANGES_MAX);
    else if (low <= high)
        r->ranges[r->n_ranges++] = (struct range) { low, high };
}

static int by_low(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->low > y->low) - (x->low < y->low);
}

/* Sort and join the ranges from `from` on, or turn them into what they leave out. Strings hold no half surrogates, and
 * no U+0000, which many readers of JSON refuse. */
static void settle_ranges(struct reader *r, size_t from, bool negate)
{
    size_t n = from;
    if (r->n_ranges > from)
        qsort(r->ranges + from, r->n_ranges - from, sizeof *r->ranges, by_low);
    for (size_t i = from; i < r->n_ranges; i++) {
        if (n > from && r->ranges[i].low <= r->ranges[n - 1].high + 1) {
            if (r->ranges[i].high > r->ranges[n - 1].high)
                r->ranges[n - 1].high = r->ranges[i].high;
        } else {
            r->ranges[n++] = r->ranges[i];
        }
    }
    r->n_ranges = n;
    if (!negate)
        return;
    int32_t next = 0;
    for (size_t i = from; i < n; i++) {
        struct range gap = { next, r->ranges[i].low - 1 };
        next = r->ranges[i].high + 1;
        r->ranges[i] = gap;
    }
    add_range(r, next, 0x10ffff);
}

static int end_set(struct reader *r, size_t from, bool negate)
{
    settle_ranges(r, from, negate);
    return add_part(r, (struct part) { .kind = PART_SET, .ranges = from, .n_ranges = r->n_ranges - from });
}

/* \d and its like: ranges are added; false for other letters. \s is written as ASCII has it, which every dialect takes
 * for white space; left out (`out`) is what any of them does. */
static bool add_class(struct reader *r, char c, bool out)
{
    static const struct range digits[] = { { '0', '9' } };
    static const struct range words[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
    static const struct range spaces[] = { { 9, 13 }, { ' ', ' ' }, { 0x85, 0x85 }, { 0xa0, 0xa0 }, { 0x1680, 0x1680 },
        { 0x2000, 0x200a }, { 0x2028, 0x2029 }, { 0x202f, 0x202f }, { 0x205f, 0x205f }, { 0x3000, 0x3000 },
        { 0xfeff, 0xfeff } };
    char lower = (char)(c | 0x20);
    const struct range *list = lower == 'd' ? digits : lower == 'w' ? words : spaces;
    size_t n = lower == 'd' ? 1 : lower == 'w' ? 4 : c == 's' && !out ? 2 : 11;
    if (lower != 'd' && lower != 'w' && lower != 's')
        return false;
    int32_t next = 0;
    for (size_t i = 0; i < n; i++) {
        if (c == lower)
            add_range(r, list[i].low, list[i].high);
        else
            add_range(r, next, list[i].low - 1);
        next = list[i].high + 1;
    }
    if (c != lower)
        add_range(r, next, 0x10ffff);
    return true;
}

static int32_t read_hex(struct reader *r, int digits)
{
    int32_t value = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        const char *known = "0123456789abcdef", *found = *r->at ? strchr(known, *r->at | 0x20) : NULL;
        if (!found || (*r->at < '0'))
            return refuse(r, "a hexadecimal digit is expected");
        value = value * 16 + (int32_t)(found - known);
    }
    return value;
}

/* Behind a backslash. */
static int32_t read_escape(struct reader *r)
{
    static const char letters[] = "nrtfv0", values[] = "\n\r\t\f\v";
    char c = *r->at++;
    const char *found = c ? strchr(letters, c) : NULL;
    if (c == 'x')
        return read_hex(r, 2);
    if (c == 'u' && *r->at != '{')
        return read_hex(r, 4);
    if (found && !(c == '0' && *r->at >= '0' && *r->at <= '9'))
        return values[found - letters];
    if (c && strchr("^$\\.*+?()[]{}|/-", c))
        return c;
    r->at--;
    return refuse(r, "this escape is not supported");
}

static int32_t read_character(struct reader *r)
{
    int32_t point;
    r->at += utf8_decode(r->at, strlen(r->at), &point);
    return point < 0 ? refuse(r, "malformed UTF-8") : point;
}

static int read_set(struct reader *r)
{
    size_t from = r->n_ranges;
    bool negate = *r->at == '^';
    r->at += negate;
    while (r->b->rc == 0 && *r->at != ']') {
        if (!*r->at)
            return refuse(r, "\"]\" is missing");
        if (*r->at == '\\' && r->at[1] && add_class(r, r->at[1], negate)) {
            r->at += 2;
            if (*r->at == '-' && r->at[1] != ']')
                return refuse(r, "a range cannot begin with a class");
            continue;
        }
        int32_t low = *r->at == '\\' ? (r->at++, *r->at == 'b' ? (r->at++, '\b') : read_escape(r)) : read_character(r);
        int32_t high = low;
        if (*r->at == '-' && r->at[1] && r->at[1] != ']') {
            r->at++;
            high = *r->at == '\\' ? (r->at++, read_escape(r)) : read_character(r);
            if (high < low)
                return refuse(r, "a range ends before it begins");
        }
        add_range(r, low, high);
    }
    r->at++;
    return end_set(r, from, negate);
}

static int read_either(struct reader *r, bool outermost);

static int read_group(struct reader *r)
{
    if (*r->at == '?') {
        const char *name_end = r->at[1] == '<' ? strchr(r->at, '>') : NULL;
        if (r->at[1] == ':')
            r->at += 2;
        else if (name_end && r->at[2] != '=' && r->at[2] != '!')
            r->at = name_end + 1;
        else
            return refuse(r, "looking ahead and behind is not supported");
    }
    if (++r->depth > DEPTH_MAX)
        return refuse(r, "groups nest too deep");
    int inside = read_either(r, false);
    r->depth--;
    if (r->b->rc == 0 && *r->at != ')')
        return refuse(r, "\")\" is missing");
    r->at++;
    return inside;
}

static int read_atom(struct reader *r)
{
    static const struct range no_line_end[] = { { 0, 9 }, { 11, 12 }, { 14, 0x2027 }, { 0x202a, 0x10ffff } };
    size_t from = r->n_ranges;
    int32_t point;
    char c = *r->at;
    if (c == '(' || c == '[' || c == '^' || c == '$' || c == '.')
        r->at++;
    switch (c) {
    case '(':
        return read_group(r);
    case '[':
        return read_set(r);
    case '^':
        return add_part(r, (struct part) { .kind = PART_BEGIN });
    case '$':
        return add_part(r, (struct part) { .kind = PART_STOP });
    case '.':
        for (int i = 0; i < 4; i++)
            add_range(r, no_line_end[i].low, no_line_end[i].high);
        return end_set(r, from, false);
    case '*':
    case '+':
    case '?':
    case '{':
    case '}':
    case ']':
        return refuse(r, "this character must be escaped");
    case '\\':
        r->at++;
        if (*r->at && add_class(r, *r->at, false)) {
            r->at++;
            return end_set(r, from, false);
        }
        point = read_escape(r);
        break;
    default:
        point = read_character(r);
    }
    add_range(r, point, point);
    return end_set(r, from, false);
}

static uint32_t read_count(struct reader *r)
{
    uint32_t n = 0;
    if (*r->at < '0' || *r->at > '9')
        refuse(r, "a number is expected");
    while (*r->at >= '0' && *r->at <= '9' && r->b->rc == 0) {
        n = n * 10 + (uint32_t)(*r->at++ - '0');
        if (n > COUNT_MAX)
            refuse(r, "counts above 1000 are not supported");
    }
    return n;
}

static int read_repeated(struct reader *r)
{
    int atom = read_atom(r);
    char c = *r->at;
    struct part p = { .kind = PART_REPEAT, .left = atom, .least = c == '+', .most = c == '?' ? 1 : REPEAT_FOREVER };
    if (r->b->rc || !c || !strchr("*+?{", c))
        return atom;
    if (r->parts[atom].kind == PART_BEGIN || r->parts[atom].kind == PART_STOP)
        return refuse(r, "an anchor cannot be repeated");
    r->at++;
    if (c == '{') {
        p.least = p.most = read_count(r);
        if (*r->at == ',') {
            r->at++;
            p.most = *r->at == '}' ? REPEAT_FOREVER : read_count(r);
        }
        if (r->b->rc == 0 && (*r->at != '}' || p.most < p.least))
            return refuse(r, "not a count");
        r->at++;
    }
    if (*r->at == '?') /* lazy: the same language */
        r->at++;
    if (*r->at && strchr("*+{", *r->at))
        return refuse(r, "a repetition cannot be repeated");
    return add_part(r, p);
}

static int add_cat(struct reader *r, int left, int right)
{
    return add_part(r, (struct part) { .kind = PART_CAT, .left = left, .right = right });
}

static int add_anything(struct reader *r)
{
    size_t from = r->n_ranges;
    add_range(r, 0, 0x10ffff);
    int set = end_set(r, from, false);
    return add_part(r, (struct part) { .kind = PART_REPEAT, .left = set, .most = REPEAT_FOREVER });
}

/* Anchors stand at the ends of outermost sequences; where there is none, anything may stand beside. */
static int read_sequence(struct reader *r, bool outermost)
{
    int sequence = outermost && *r->at != '^' ? add_anything(r) : add_part(r, (struct part) { .kind = PART_EMPTY });
    bool stopped = false;
    for (bool first = true; r->b->rc == 0 && *r->at && *r->at != '|' && *r->at != ')'; first = false) {
        int next = read_repeated(r);
        enum part_kind kind = r->b->rc ? PART_EMPTY : r->parts[next].kind;
        if (stopped || (kind == PART_BEGIN && !(outermost && first)) || (kind == PART_STOP && !outermost))
            return refuse(r, "an anchor in the middle is not supported");
        stopped = kind == PART_STOP;
        sequence = add_cat(r, sequence, next);
    }
    return outermost && !stopped ? add_cat(r, sequence, add_anything(r)) : sequence;
}

static int read_either(struct reader *r, bool outermost)
{
    int sequence = read_sequence(r, outermost);
    while (r->b->rc == 0 && *r->at == '|') {
        r->at++;
        int other = read_sequence(r, outermost);
        sequence = add_part(r, (struct part) { .kind = PART_EITHER, .left = sequence, .right = other });
    }
    return sequence;
}

/* ---- the tree to nodes ---- */

/* Edges of a set, some at a time. */
struct set {
    struct builder *b;
    struct edge edges[64];
    uint32_t count, node; /* node: of the edges before, 0: none */
    uint32_t next;
};

static void set_flush(struct set *s)
{
    if (s->count == 0)
        return;
    uint32_t node = build_bytes(s->b, s->edges, s->count);
    s->node = s->node ? build_either(s->b, s->node, node) : node;
    s->count = 0;
}

static void set_edge(struct set *s, uint32_t target, unsigned char low, unsigned char high)
{
    if (s->count == sizeof s->edges / sizeof s->edges[0])
        set_flush(s);
    s->edges[s->count++] = (struct edge) { target, low, high };
}

/* Characters from U+0080 on whose UTF-8 has one length: cut until the bytes of a stretch vary independently. */
static void set_utf8(struct set *s, int32_t low, int32_t high)
{
    char a[4], z[4];
    int n = utf8_encode(a, low);
    for (int i = 1; i < n; i++) {
        int32_t mask = (1 << (6 * i)) - 1, cut = -1;
        if ((low & ~mask) == (high & ~mask))
            continue;
        if (low & mask)
            cut = low | mask;
        else if ((high & mask) != mask)
            cut = (high & ~mask) - 1;
        if (cut >= 0) {
            set_utf8(s, low, cut);
            set_utf8(s, cut + 1, high);
            return;
        }
    }
    utf8_encode(z, high);
    uint32_t next = s->next;
    while (--n > 0)
        next = build_bytes(s->b, &(struct edge) { next, (uint8_t)a[n], (uint8_t)z[n] }, 1);
    set_edge(s, next, (uint8_t)a[0], (uint8_t)z[0]);
}

/* Characters of ASCII, as JSON writes them in strings. */
static void set_ascii(struct set *s, int32_t low, int32_t high)
{
    static const char letters[] = "btnvfr"; /* of 8 to 13, but for the vertical tab */
    char text[8] = "u001";
    for (int32_t c = low; c <= high; c++) {
        if (c >= ' ' && c != '"' && c != '\\') {
            set_edge(s, s->next, (uint8_t)c, (uint8_t)c);
            continue;
        }
        text[3] = c < 16 ? '0' : '1';
        text[4] = "0123456789abcdef"[c & 15];
        uint32_t escape = c >= ' ' ? build_byte(s->b, (uint8_t)c, s->next)
            : c >= 8 && c <= 13 && c != 11 ? build_byte(s->b, (uint8_t)letters[c - 8], s->next)
                                           : build_text(s->b, text, 5, s->next);
        set_edge(s, escape, '\\', '\\');
    }
}

static uint32_t build_set(struct reader *r, const struct part *p, uint32_t next)
{
    static const struct range lengths[] = { { 0x80, 0x7ff }, { 0x800, 0xd7ff }, { 0xe000, 0xffff },
        { 0x10000, 0x10ffff } };
    struct set s = { .b = r->b, .next = next };
    for (size_t i = p->ranges; i < p->ranges + p->n_ranges; i++) {
        int32_t low = r->ranges[i].low, high = r->ranges[i].high;
        if (low < 0x80)
            set_ascii(&s, low ? low : 1, high < 0x80 ? high : 0x7f);
        for (int k = 0; k < 4; k++) {
            int32_t from = low > lengths[k].low ? low : lengths[k].low;
            int32_t to = high < lengths[k].high ? high : lengths[k].high;
            if (from <= to)
                set_utf8(&s, from, to);
        }
    }
    set_flush(&s);
    return s.node ? s.node : build_split(r->b, NULL, 0);
}

static uint32_t build_part(struct reader *r, int index, uint32_t next)
{
    const struct part *p = &r->parts[index];
    uint32_t others = 0;
    while (r->b->rc == 0 && p->kind == PART_CAT) {
        next = build_part(r, p->right, next);
        p = &r->parts[p->left];
    }
    while (r->b->rc == 0 && p->kind == PART_EITHER) {
        uint32_t right = build_part(r, p->right, next);
        others = others ? build_either(r->b, right, others) : right;
        p = &r->parts[p->left];
    }
    if (r->b->rc)
        return NODE_THE_END;
    uint32_t node = next;
    if (others)
        node = build_either(r->b, build_part(r, (int)(p - r->parts), next), others);
    else if (p->kind == PART_SET)
        node = build_set(r, p, next);
    else if (p->kind == PART_REPEAT && p->most == 1 && p->least == 0)
        node = build_either(r->b, build_part(r, p->left, next), next);
    else if (p->kind == PART_REPEAT) {
        uint32_t body = build_part(r, p->left, NODE_THE_END);
        node = build_repeat(r->b, body, body, p->least, p->most, next);
    }
    return node;
}

uint32_t build_pattern(struct builder *b, const char *pattern, uint32_t next)
{
    struct reader *r = b->rc ? NULL : calloc(1, sizeof *r);
    if (!r) {
        b->rc = b->rc ? b->rc : error_memory(b->err, sizeof *r, "a pattern");
        return NODE_THE_END;
    }
    r->b = b;
    r->pattern = r->at = pattern;
    int whole = read_either(r, true);
    if (b->rc == 0 && *r->at)
        refuse(r, "\")\" without \"(\"");
    uint32_t node = b->rc ? NODE_THE_END : build_byte(b, '"', build_part(r, whole, build_byte(b, '"', next)));
    free(r);
    return node;
}
