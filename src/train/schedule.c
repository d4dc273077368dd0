/* SPDX-License-Identifier: Apache-2.0 */
#include "train/schedule.h"

#include <math.h>

/* How far step `at` is between `first` and the run's last step, 0 to 1. */
static double way(const struct schedule *s, uint64_t first, uint64_t at)
{
    uint64_t last = s->steps ? s->steps - 1 : 0;
    if (at >= last)
        return 1;
    return at <= first ? 0 : (double)(at - first) / (double)(last - first);
}

double schedule_lr(const struct schedule *s, uint64_t step)
{
    const double pi = 3.14159265358979323846, room = s->lr - s->lr_min;
    if (step < s->warmup)
        return s->lr * (double)(step + 1) / (double)s->warmup;
    switch (s->kind) {
    case SCHEDULE_COSINE:
        return s->lr_min + room * 0.5 * (1 + cos(pi * way(s, s->warmup, step)));
    case SCHEDULE_LINEAR:
        return s->lr - room * way(s, s->warmup, step);
    case SCHEDULE_WSD: {
        uint64_t first = s->steps > s->decay ? s->steps - s->decay : 0;
        first = first < s->warmup ? s->warmup : first;
        return step < first ? s->lr : s->lr - room * way(s, first, step);
    }
    default:
        return s->lr;
    }
}

const char *schedule_name(enum schedule_kind kind)
{
    static const char *const names[SCHEDULE_COUNT] = { "cosine", "linear", "wsd", "constant" };
    return names[kind];
}
