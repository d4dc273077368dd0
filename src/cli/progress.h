/* SPDX-License-Identifier: Apache-2.0 */
/* How far a long step is, on standard error: a bar on a terminal, a plain line now and then elsewhere. Nothing is shown
 * for steps of under two seconds. */
#ifndef WAZN_CLI_PROGRESS_H
#define WAZN_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label; /* "reading the weights" */
    const char *unit;  /* "tokens", or NULL: bytes */
    bool quiet, terminal, shown;
    double begun, drawn;
};

void progress_begin(struct progress *p, const char *label, const char *unit, bool quiet);
void progress_update(struct progress *p, uint64_t done, uint64_t total);
void progress_end(struct progress *p); /* take the bar off the screen */

#endif
