/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAZN_PUBLISH_WATCH_H
#define WAZN_PUBLISH_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* How whoever publishes follows a long step and stops it; members may be NULL. */
struct publish_watch {
    /* step: "calibrating", "encoding" ...; unit: "tokens", or NULL for bytes. */
    void (*progress)(void *context, const char *step, const char *unit, uint64_t done, uint64_t total);
    bool (*cancelled)(void *context);
    void *context;
};

static inline void watch_report(const struct publish_watch *w, const char *step, const char *unit, uint64_t done,
    uint64_t total)
{
    if (w->progress)
        w->progress(w->context, step, unit, done, total);
}

static inline bool watch_stopped(const struct publish_watch *w)
{
    return w->cancelled && w->cancelled(w->context);
}

#endif
