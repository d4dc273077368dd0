/* SPDX-License-Identifier: Apache-2.0 */
/* Line plots as SVG to put into a page. Colours come from the page: its style sheet sets --ink, --faint and --line-0 to
 * --line-3 (plot_style has a default for light and dark screens). */
#ifndef WAZN_BASE_PLOT_H
#define WAZN_BASE_PLOT_H

#include "base/buffer.h"

#include <stddef.h>

#define PLOT_LINES_MAX 4

struct plot_line {
    const char *label;
    const double *x, *y; /* (n), x not falling; points that are no numbers are left out, and break the line */
    size_t n;
};

struct plot {
    const char *title, *x_label;
    const struct plot_line *lines;
    size_t n_lines; /* at most PLOT_LINES_MAX */
};

/* Append an <svg> element. Where a line has more points than the picture has columns each column shows the mean of its
 * points, behind it a band from the lowest to the highest. Without any point it says so. */
void plot_svg(struct buffer *out, const struct plot *p);

/* Append the rules for a <style> element. */
void plot_style(struct buffer *out);

/* Append text with what means something in HTML escaped, in attributes too. */
void plot_text(struct buffer *out, const char *text);

#endif
