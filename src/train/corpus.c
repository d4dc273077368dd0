/* SPDX-License-Identifier: Apache-2.0 */
#include "train/corpus.h"

#include "train/records.h"

#include <stdlib.h>
#include <string.h>

struct corpus {
    struct records *records;
    char *key;
    json_t *record; /* the document's, where it is JSON */
};

int corpus_open(struct corpus **out, const char *const *paths, size_t n, const struct corpus_options *options,
    struct error *err)
{
    const struct records_options records = {.texts = true,
        .separator = options->separator,
        .bytes_max = options->bytes_max,
        .progress = options->progress,
        .context = options->context};
    int rc = 0;
    *out = NULL;
    struct corpus *c = calloc(1, sizeof *c);
    if (c)
        c->key = strdup(options->key ? options->key : "text");
    if (!c || !c->key)
        rc = error_memory(err, sizeof *c, "a corpus");
    if (rc == 0)
        rc = records_open(&c->records, paths, n, &records, err);
    if (rc) {
        corpus_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void corpus_close(struct corpus *c)
{
    if (!c)
        return;
    records_close(c->records);
    json_decref(c->record);
    free(c->key);
    free(c);
}

void corpus_rewind(struct corpus *c)
{
    records_rewind(c->records);
}

static int read_text(struct corpus *c, const struct record *record, struct document *out, struct error *err)
{
    json_decref(c->record);
    c->record = NULL;
    int rc = record_parse_new(&c->record, record, err);
    const json_t *text = rc ? NULL : json_object_get(c->record, c->key);
    if (rc == 0 && !json_is_string(text))
        rc = error_set(err, ERROR_FORMAT, "%s:%llu: its \"%s\" is %s", record->file, (unsigned long long)record->line,
            c->key, text ? "no string" : "missing");
    if (rc == 0) {
        out->text = json_string_value(text);
        out->n = json_string_length(text);
    }
    return rc;
}

int corpus_next(struct corpus *c, struct document *out, struct error *err)
{
    struct record record;
    int rc;
    do {
        rc = records_next(c->records, &record, err);
        if (rc <= 0)
            return rc;
        *out = (struct document){.text = record.data, .n = record.n, .file = record.file, .line = record.line};
        rc = record.json ? read_text(c, &record, out, err) : 0;
    } while (rc == 0 && out->n == 0);
    return rc ? rc : 1;
}
