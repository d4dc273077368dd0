/* SPDX-License-Identifier: Apache-2.0 */
/* What the log of a run says: a JSON object a line, told apart by "type". "run" comes first and describes the run; the
 * numbers of "step" and "validation" lines become series over their "step"; "sample" is text the model wrote; "end" is
 * the last line of a run that ended. */
#ifndef WAZN_TRAIN_HISTORY_H
#define WAZN_TRAIN_HISTORY_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

#define HISTORY_SERIES_MAX 64
#define HISTORY_SAMPLES_MAX 20 /* the last ones are kept */
#define HISTORY_LINE_MAX (1 << 20) /* bytes */

struct series {
    char *name;        /* "loss" */
    bool validation;   /* of "validation" lines */
    double *step, *value; /* (n) */
    size_t n, capacity;
};

struct history {
    json_t *run, *end; /* NULL: no such line */
    struct series series[HISTORY_SERIES_MAX];
    size_t n_series;
    json_t *samples; /* array of "sample" lines */
};

/* ERROR_FORMAT names the line. A last line without its line end is being written or was cut off: it does not count. */
int history_parse(struct history *h, const char *data, size_t size, struct error *err);
int history_read(struct history *h, const char *path, struct error *err);
void history_release(struct history *h);

/* NULL: none of that name. */
const struct series *history_find(const struct history *h, const char *name, bool validation);

#endif
