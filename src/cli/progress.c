/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include "base/clock.h"
#include "cli/terminal.h"

#include <stdio.h>

#define QUIET_SECONDS 2.0
#define BAR_SECONDS 0.1
#define LINE_SECONDS 10.0
#define BAR_WIDTH 24

void progress_begin(struct progress *p, const char *label, const char *unit, bool quiet)
{
    double now = clock_seconds();
    *p = (struct progress) { .label = label, .unit = unit, .quiet = quiet, .begun = now, .drawn = now };
    p->terminal = terminal_is(stderr);
}

static void amount(const struct progress *p, char text[64], double value, const char *behind)
{
    char number[32];
    if (p->unit)
        snprintf(text, 64, "%.0f %s%s", value, p->unit, behind);
    else
        snprintf(text, 64, "%s%s", terminal_bytes(number, (uint64_t)value), behind);
}

static void time_left(char text[32], double seconds)
{
    int whole = seconds < 359999 ? (int)(seconds + 0.5) : 359999;
    if (whole >= 3600)
        snprintf(text, 32, "%d:%02d:%02d left", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, 32, "%d:%02d left", whole / 60, whole % 60);
}

void progress_update(struct progress *p, uint64_t done, uint64_t total)
{
    double now = clock_seconds(), spent = now - p->begun;
    if (p->quiet || total == 0 || spent < QUIET_SECONDS || now - p->drawn < (p->terminal ? BAR_SECONDS : LINE_SECONDS))
        return;
    char so_far[64], rate[64], left[32];
    double share = (double)done / (double)total;
    amount(p, so_far, (double)done, "");
    amount(p, rate, (double)done / spent, "/s");
    time_left(left, done ? spent * (double)(total - done) / (double)done : 359999);
    p->drawn = now;
    p->shown = true;
    if (!p->terminal) {
        fprintf(stderr, "wazn: %s: %.0f%%, %s, %s, %s\n", p->label, 100 * share, so_far, rate, left);
        return;
    }
    char bar[BAR_WIDTH + 1];
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = (i + 1) <= share * BAR_WIDTH ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r\033[K%s [%s] %3.0f%%  %s  %s  %s", p->label, bar, 100 * share, so_far, rate, left);
    fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->shown && p->terminal) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    p->shown = false;
}
