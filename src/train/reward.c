/* SPDX-License-Identifier: Apache-2.0 */
#include "train/reward.h"

#include "text/regex.h"
#include "train/reward_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_MAX 1e6
#define NAME_MAX 32 /* bytes of a kind's name, and of a weight, in a short specification */

static const struct reward_kind *const kinds[] = { &reward_exact, &reward_numeric, &reward_regex, &reward_length,
    &reward_overlong, &reward_format, &reward_json, &reward_command };

struct reward {
    struct reward_part parts[REWARD_PARTS_MAX];
    int n;
};

/* ---- reading a specification ---- */

static const struct reward_kind *find_kind(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i]->name) == n && memcmp(kinds[i]->name, name, n) == 0)
            return kinds[i];
    return NULL;
}

/* spec: NULL in the short form. Borrowed until the part is released: it is kept. */
static int add_part(struct reward *r, const char *name, size_t n, double weight, json_t *spec, struct error *err)
{
    const struct reward_kind *kind = find_kind(name, n);
    int shown = (int)(n < NAME_MAX ? n : NAME_MAX);
    if (!kind)
        return error_set(err, ERROR_USAGE, "there is no reward \"%.*s\"", shown, name);
    if (!(fabs(weight) <= WEIGHT_MAX))
        return error_set(err, ERROR_USAGE, "the weight of reward %s is not a number within %g", kind->name, WEIGHT_MAX);
    if (r->n == REWARD_PARTS_MAX)
        return error_set(err, ERROR_LIMIT, "there are more than %d rewards", REWARD_PARTS_MAX);
    struct reward_part *p = &r->parts[r->n++];
    *p = (struct reward_part) { .kind = kind, .weight = weight, .spec = json_incref(spec) };
    int rc = kind->read ? kind->read(p, spec, err) : 0;
    if (rc)
        error_in(err, "reward %s", kind->name);
    return rc;
}

/* Text up to a comma: NAME or NAME:WEIGHT */
static int read_short(struct reward *r, const char *text, size_t n, struct error *err)
{
    const char *colon = memchr(text, ':', n);
    size_t name = colon ? (size_t)(colon - text) : n;
    double weight = 1;
    if (colon) {
        char number[NAME_MAX + 1], *end;
        size_t digits = n - name - 1;
        memcpy(number, colon + 1, digits < NAME_MAX ? digits : NAME_MAX);
        number[digits < NAME_MAX ? digits : NAME_MAX] = '\0';
        weight = strtod(number, &end);
        if (digits == 0 || digits > NAME_MAX || end != number + digits)
            weight = NAN;
    }
    return add_part(r, text, name, weight, NULL, err);
}

static int read_list(struct reward *r, const char *spec, size_t n, struct error *err)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at <= n;) {
        const char *comma = memchr(spec + at, ',', n - at);
        size_t part = comma ? (size_t)(comma - (spec + at)) : n - at;
        rc = read_short(r, spec + at, part, err);
        at += part + 1;
    }
    return rc;
}

static int read_json(struct reward *r, const char *spec, size_t n, struct error *err)
{
    json_t *list, *part;
    size_t i;
    int rc = json_read_new(&list, spec, n, "the rewards", err);
    if (rc)
        return rc;
    json_array_foreach(list, i, part)
    {
        const json_t *kind = json_object_get(part, "kind"), *weight = json_object_get(part, "weight");
        if (!json_is_string(kind))
            rc = error_set(err, ERROR_USAGE, "reward %zu has no \"kind\"", i);
        else
            rc = add_part(r, json_string_value(kind), json_string_length(kind),
                !weight ? 1 : json_is_number(weight) ? json_number_value(weight) : NAN, part, err);
        if (rc)
            break;
    }
    if (rc == 0 && r->n == 0)
        rc = error_set(err, ERROR_USAGE, "there are no rewards");
    json_decref(list);
    return rc;
}

int reward_open(struct reward **out, const char *spec, size_t n, struct error *err)
{
    *out = NULL;
    if (n > REWARD_SPEC_MAX)
        return error_set(err, ERROR_LIMIT, "%zu bytes say what is rewarded, the limit is %d", n, REWARD_SPEC_MAX);
    struct reward *r = calloc(1, sizeof *r);
    if (!r)
        return error_memory(err, sizeof *r, "rewards");
    int rc = n > 0 && spec[0] == '[' ? read_json(r, spec, n, err) : read_list(r, spec, n, err);
    if (rc) {
        reward_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void reward_close(struct reward *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n; i++) {
        struct reward_part *p = &r->parts[i];
        regex_close(p->regex);
        free(p->open);
        free(p->close);
        free(p->argv);
        json_decref(p->spec);
    }
    free(r);
}

int reward_parts(const struct reward *r)
{
    return r->n;
}

const char *reward_part_name(const struct reward *r, int part)
{
    return r->parts[part].kind->name;
}

double reward_part_weight(const struct reward *r, int part)
{
    return r->parts[part].weight;
}

/* ---- judging ---- */

struct judging {
    const struct reward *r;
    const struct reward_case *cases;
    double *parts;
    struct judged {
        int failures;
        struct error first;
    } *judged; /* (n) */
};

static void judge_case(void *job, int item, int thread)
{
    const struct judging *j = job;
    (void)thread;
    for (int k = 0; k < j->r->n; k++) {
        const struct reward_part *p = &j->r->parts[k];
        double value = 0;
        struct error err = { 0 };
        if (p->kind->judge(p, &j->cases[item], &value, &err) != 0) {
            value = 0;
            error_in(&err, "reward %s of completion %d", p->kind->name, item);
            if (j->judged[item].failures++ == 0)
                j->judged[item].first = err;
        }
        j->parts[(size_t)item * (size_t)j->r->n + (size_t)k] = value;
    }
}

int reward_run(const struct reward *r, const struct reward_case *cases, int n, struct pool *pool, double *totals,
    double *parts, struct reward_failures *failures, struct error *err)
{
    struct judging j = { .r = r, .cases = cases, .parts = parts };
    *failures = (struct reward_failures) { .count = 0 };
    j.judged = calloc((size_t)n + 1, sizeof *j.judged);
    if (!j.judged)
        return error_memory(err, (size_t)n * sizeof *j.judged, "rewards");
    if (pool)
        pool_run(pool, n, judge_case, &j);
    for (int i = 0; !pool && i < n; i++)
        judge_case(&j, i, 0);
    for (int i = 0; i < n; i++) {
        totals[i] = 0;
        for (int k = 0; k < r->n; k++)
            totals[i] += r->parts[k].weight * parts[(size_t)i * (size_t)r->n + (size_t)k];
        if (failures->count == 0)
            failures->first = j.judged[i].first;
        failures->count += j.judged[i].failures;
    }
    free(j.judged);
    return 0;
}
