/* SPDX-License-Identifier: Apache-2.0 */
#include "train/history.h"

#include "base/filemap.h"

#include <stdlib.h>
#include <string.h>

const struct series *history_find(const struct history *h, const char *name, bool validation)
{
    for (size_t i = 0; i < h->n_series; i++)
        if (h->series[i].validation == validation && strcmp(h->series[i].name, name) == 0)
            return &h->series[i];
    return NULL;
}

void history_release(struct history *h)
{
    for (size_t i = 0; i < h->n_series; i++) {
        free(h->series[i].name);
        free(h->series[i].step);
        free(h->series[i].value);
    }
    json_decref(h->run);
    json_decref(h->end);
    json_decref(h->samples);
    memset(h, 0, sizeof *h);
}

static int series_add(struct series *s, double step, double value, struct error *err)
{
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 256;
        double *steps = realloc(s->step, capacity * sizeof *steps);
        if (steps)
            s->step = steps;
        double *values = steps ? realloc(s->value, capacity * sizeof *values) : NULL;
        if (!values)
            return error_memory(err, capacity * sizeof *values, "a series of a log");
        s->value = values;
        s->capacity = capacity;
    }
    s->step[s->n] = step;
    s->value[s->n++] = value;
    return 0;
}

/* The series of that name, a new one where there is none. */
static int series_of(struct series **out, struct history *h, const char *name, bool validation, struct error *err)
{
    for (size_t i = 0; i < h->n_series; i++) {
        *out = &h->series[i];
        if ((*out)->validation == validation && strcmp((*out)->name, name) == 0)
            return 0;
    }
    if (h->n_series == HISTORY_SERIES_MAX)
        return error_set(err, ERROR_LIMIT, "\"%s\" would be one more than %d series", name, HISTORY_SERIES_MAX);
    *out = &h->series[h->n_series];
    (*out)->name = strdup(name);
    if (!(*out)->name)
        return error_memory(err, strlen(name) + 1, "the name of a series");
    (*out)->validation = validation;
    h->n_series++;
    return 0;
}

static int add_numbers(struct history *h, json_t *line, bool validation, struct error *err)
{
    const json_t *step = json_object_get(line, "step");
    const char *key;
    json_t *value;
    if (!json_is_integer(step))
        return error_set(err, ERROR_FORMAT, "\"step\" is no whole number");
    json_object_foreach(line, key, value) {
        struct series *s;
        if (!json_is_number(value) || value == step)
            continue;
        int rc = series_of(&s, h, key, validation, err);
        if (rc == 0 && s->n > 0 && json_number_value(step) < s->step[s->n - 1])
            rc = error_set(err, ERROR_FORMAT, "step %lld comes behind step %.0f", (long long)json_integer_value(step),
                s->step[s->n - 1]);
        if (rc == 0)
            rc = series_add(s, json_number_value(step), json_number_value(value), err);
        if (rc)
            return rc;
    }
    return 0;
}

static int add_sample(struct history *h, json_t *line, struct error *err)
{
    if (!h->samples)
        h->samples = json_array();
    if (h->samples && json_array_size(h->samples) == HISTORY_SAMPLES_MAX)
        json_array_remove(h->samples, 0);
    return json_array_append(h->samples, line) == 0 ? 0 : error_memory(err, sizeof *line, "a sample of a log");
}

/* Types that are not known are passed over: later versions may have more. */
static int add_line(struct history *h, json_t *line, struct error *err)
{
    const char *type = json_text(line, "type", NULL);
    if (!type)
        return error_set(err, ERROR_FORMAT, "it is no object with a \"type\"");
    if (strcmp(type, "step") == 0 || strcmp(type, "validation") == 0)
        return add_numbers(h, line, type[0] == 'v', err);
    if (strcmp(type, "sample") == 0)
        return add_sample(h, line, err);
    json_t **keep = strcmp(type, "run") == 0 ? &h->run : strcmp(type, "end") == 0 ? &h->end : NULL;
    if (keep) {
        json_decref(*keep);
        *keep = json_incref(line);
    }
    return 0;
}

static int read_line(struct history *h, const char *text, size_t n, size_t number, struct error *err)
{
    json_t *line = NULL;
    int rc = n <= HISTORY_LINE_MAX ? json_read_new(&line, text, n, "it", err) :
        error_set(err, ERROR_LIMIT, "it has %zu bytes, at most %d are read", n, HISTORY_LINE_MAX);
    if (rc == 0)
        rc = add_line(h, line, err);
    json_decref(line);
    if (rc)
        error_in(err, "line %zu", number);
    return rc;
}

int history_parse(struct history *h, const char *data, size_t size, struct error *err)
{
    int rc = 0;
    const char *end;
    memset(h, 0, sizeof *h);
    for (size_t number = 1; rc == 0 && size > 0 && (end = memchr(data, '\n', size)); number++) {
        rc = read_line(h, data, (size_t)(end - data), number, err);
        size -= (size_t)(end + 1 - data);
        data = end + 1;
    }
    if (rc)
        history_release(h);
    return rc;
}

int history_read(struct history *h, const char *path, struct error *err)
{
    struct filemap map;
    memset(h, 0, sizeof *h);
    int rc = filemap_open(&map, path, err);
    if (rc == 0) {
        rc = history_parse(h, (const char *)map.data, map.size, err);
        filemap_close(&map);
    }
    if (rc)
        error_in(err, "could not read the log \"%s\"", path);
    return rc;
}
