/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a run: history.h has its lines. Each is written at once, so that what happened before a crash is there. */
#ifndef WAZN_TRAIN_LOG_H
#define WAZN_TRAIN_LOG_H

#include "base/json.h"
#include "train/trainer.h"

struct train_log;

/* Begin anew with the line `run` (an object, taken over), or where step > 0 go on with the log behind that step: later
 * lines, which a run wrote that was stopped before its next checkpoint, are cut off. */
int train_log_open(struct train_log **out, const char *path, json_t *run, uint64_t step, struct error *err);
void train_log_close(struct train_log *l);

/* A "step" or "validation" line. tokens: seen since the run began; seconds: that it has taken. */
int train_log_step(struct train_log *l, const char *type, const struct step_result *r, int64_t tokens, double seconds,
    struct error *err);
/* Any other, an object with a "type" (taken over; NULL: out of memory). */
int train_log_line(struct train_log *l, json_t *line, struct error *err);

#endif
