/* SPDX-License-Identifier: Apache-2.0 */
/* What the library has to say beside its results. It never prints: it calls the log it was given. */
#ifndef WAZN_BASE_LOG_H
#define WAZN_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING };

struct log {
    void (*write)(void *context, int level, const char *text); /* NULL: silent. One line without its end */
    void *context;
};

/* log may be NULL. */
void log_write(const struct log *log, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
