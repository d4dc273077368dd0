/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"

#include "base/utf8.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool terminal_is(FILE *stream)
{
    return isatty(fileno(stream)) == 1;
}

bool terminal_has_styles(FILE *stream)
{
    const char *term = getenv("TERM"), *without = getenv("NO_COLOR");
    return terminal_is(stream) && !(without && *without) && term && *term && strcmp(term, "dumb") != 0;
}

int terminal_columns(FILE *stream)
{
    struct winsize size;
    if (!terminal_is(stream) || ioctl(fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 100;
    return size.ws_col < 60 ? 60 : size.ws_col > 120 ? 120 : size.ws_col;
}

void terminal_clean(struct buffer *out, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        int32_t point;
        int taken = utf8_decode(text + at, n - at, &point);
        bool control = point < 0x20 ? point != '\n' && point != '\t' : point >= 0x7f && point < 0xa0;
        for (int i = 0; i < taken; i++) {
            if (control)
                buffer_printf(out, "\\x%02x", (unsigned char)text[at + (size_t)i]);
            else
                buffer_add_byte(out, text[at + (size_t)i]);
        }
        at += (size_t)taken;
    }
}

static const char *scaled(char text[32], double value, double step, const char *const *units, int n_units)
{
    int unit = 0;
    while (value >= step && unit + 1 < n_units) {
        value /= step;
        unit++;
    }
    int decimals = unit == 0 || value >= 1000 ? 0 : value >= 100 ? 1 : 2;
    snprintf(text, 32, "%.*f%s", decimals, value, units[unit]);
    return text;
}

const char *terminal_bytes(char text[32], uint64_t bytes)
{
    static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB" };
    return scaled(text, (double)bytes, 1024, units, 5);
}

const char *terminal_count(char text[32], uint64_t count)
{
    static const char *const units[] = { "", " k", " M", " B", " T" };
    return scaled(text, (double)count, 1000, units, 5);
}

static volatile sig_atomic_t interrupted; /* a signal handler can reach nothing else */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (interrupted)
        _exit(130);
    interrupted = 1;
}

void interrupt_catch(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt; /* without SA_RESTART: a read of the next line is interrupted too */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool interrupt_seen(void)
{
    return interrupted != 0;
}

void interrupt_lower(void)
{
    interrupted = 0;
}
