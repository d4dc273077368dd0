/* SPDX-License-Identifier: Apache-2.0 */
#include "model/names.h"

#include "model/model_impl.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

int64_t names_index(const struct loader *in, const char *name)
{
    return map_find(&in->index, name, strlen(name), -1);
}

void names_expand(char out[NAME_SIZE], const char *pattern, int layer, int expert)
{
    const int numbers[] = { layer, expert };
    size_t used = 0, n = 0;
    while (*pattern && used + 12 < NAME_SIZE) {
        if (pattern[0] == '%' && pattern[1] == 'd') {
            assert(n < 2);
            used += (size_t)snprintf(out + used, NAME_SIZE - used, "%d", numbers[n++]);
            pattern += 2;
        } else {
            out[used++] = *pattern++;
        }
    }
    out[used] = '\0';
}

bool names_per_expert(const char *pattern)
{
    const char *first = strstr(pattern, "%d");
    return first && strstr(first + 2, "%d");
}

int64_t names_find(const struct loader *in, char name[NAME_SIZE])
{
    const struct name_prefix *p = in->model->spec.arch->prefixes;
    int64_t found = names_index(in, name);
    for (; found < 0 && p && p->plain; p++) {
        char nested[NAME_SIZE];
        size_t n = strlen(p->plain);
        if (strncmp(name, p->plain, n) != 0)
            continue;
        snprintf(nested, NAME_SIZE, "%s%.*s", p->nested, (int)(NAME_SIZE - 64 - n), name + n);
        found = names_index(in, nested);
        if (found >= 0)
            memcpy(name, nested, NAME_SIZE);
    }
    return found;
}

/* The family's tables for this kind of file, in the order they are asked. */
static void name_tables(const struct loader *in, const struct weight_name *tables[2])
{
    const struct arch *a = in->model->spec.arch;
    bool gguf = source_kind(in->source) == SOURCE_GGUF;
    tables[0] = gguf ? a->gguf : a->names;
    tables[1] = gguf ? gguf_names : NULL;
}

static int64_t outputs_of(const struct spec *s, int role, int layer)
{
    struct role_shape shape = role_shape(s, role, layer);
    return role_is_vector(&shape) || shape.kind == ROLE_EXPERT_BIASES ? shape.cols : shape.rows;
}

/* Which part of a fused tensor an entry is: neighbours in the table under the same name are the other parts. Parts that
 * take turns are equally large. */
static void find_part(const struct spec *s, const struct weight_name *table, int layer, struct place *at)
{
    const struct weight_name *e = at->entry;
    while (e > table && strcmp(e[-1].name, e->name) == 0)
        e--;
    bool turns = e->stored & STORED_INTERLEAVED;
    at->first = at->total = at->step = 0;
    for (; e->name && strcmp(e->name, at->entry->name) == 0; e++) {
        if (e < at->entry)
            at->first += turns ? 1 : outputs_of(s, e->role, layer);
        at->total += outputs_of(s, e->role, layer);
        at->step += turns || at->step == 0;
    }
}

int names_place(const struct loader *in, int role, int layer, struct place *at, struct error *err)
{
    const struct weight_name *tables[2];
    char wanted[NAME_SIZE] = "";
    name_tables(in, tables);
    for (int t = 0; t < 2; t++)
        for (const struct weight_name *e = tables[t]; e && e->name; e++) {
            if (e->role != role)
                continue;
            names_expand(at->name, e->name, layer, 0);
            if (!wanted[0])
                memcpy(wanted, at->name, NAME_SIZE);
            if (names_find(in, at->name) >= 0) {
                at->entry = e;
                find_part(&in->model->spec, tables[t], layer, at);
                return 0;
            }
        }
    if (!wanted[0])
        return error_set(err, ERROR_UNSUPPORTED, "config asks for the weight \"%s\", which no %s model has",
            role_name(role), in->model->spec.arch->name);
    return error_set(err, ERROR_FORMAT, "tensor \"%s\" is missing", wanted);
}

static bool matches(const char *name, const char *pattern)
{
    while (*pattern && *pattern != '*') {
        if (pattern[0] == '%' && pattern[1] == 'd') {
            if (strspn(name, "0123456789") == 0)
                return false;
            name += strspn(name, "0123456789");
            pattern += 2;
        } else if (*name++ != *pattern++) {
            return false;
        }
    }
    return *pattern == '*' || *name == '\0';
}

static bool matches_nested(const char *name, const char *pattern, const struct name_prefix *p)
{
    bool found = matches(name, pattern);
    for (; !found && p && p->plain; p++) {
        size_t plain = strlen(p->plain), nested = strlen(p->nested);
        found = strncmp(pattern, p->plain, plain) == 0 && strncmp(name, p->nested, nested) == 0
            && matches(name + nested, pattern + plain);
    }
    return found;
}

bool names_ignored(const struct loader *in, const char *name)
{
    const struct spec *s = &in->model->spec;
    const char *const *lists[] = { ignored_everywhere, s->arch->ignored };
    const struct weight_name *tables[2];
    for (int i = 0; i < 2; i++)
        for (const char *const *p = lists[i]; p && *p; p++)
            if (matches_nested(name, *p, s->arch->prefixes))
                return true;
    name_tables(in, tables); /* a tied output that was saved nevertheless */
    for (const struct weight_name *e = tables[0]; s->tied && e && e->name; e++)
        if (e->role == ROLE_output && matches_nested(name, e->name, s->arch->prefixes))
            return true;
    return false;
}
