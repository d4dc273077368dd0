/* SPDX-License-Identifier: Apache-2.0 */
#include "base/plot.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* The picture, in its own units; the page scales it. */
enum { WIDTH = 720, HEIGHT = 260, LEFT = 64, RIGHT = 16, TOP = 34, BOTTOM = 40, COLUMNS = WIDTH - LEFT - RIGHT };
enum { X_TICKS = 8, Y_TICKS = 5 };

struct axis {
    double low, high, step; /* ticks at multiples of step */
};

struct frame {
    struct axis x, y;
};

void plot_text(struct buffer *out, const char *text)
{
    for (; *text; text++) {
        const char *name = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : *text == '"' ?
            "&quot;" : NULL;
        if (name)
            buffer_add_text(out, name);
        else
            buffer_add_byte(out, *text);
    }
}

void plot_style(struct buffer *out)
{
    buffer_add_text(out,
        ":root{--ink:#222;--faint:#ddd;--paper:#fff;--line-0:#1f5fbf;--line-1:#c2410c;--line-2:#15803d;"
        "--line-3:#7e22ce}\n"
        "@media(prefers-color-scheme:dark){:root{--ink:#ddd;--faint:#3a3a3a;--paper:#161616;--line-0:#7aa7f0;"
        "--line-1:#f0935c;--line-2:#6cc58a;--line-3:#c08bf0}}\n"
        "svg.plot{width:100%;height:auto;font:12px system-ui,sans-serif}svg.plot text{fill:var(--ink)}\n"
        "svg.plot .grid{stroke:var(--faint)}svg.plot .line{stroke-width:1.6}\n");
}

/* 1, 2 or 5 times a power of ten, so that about `count` of them fill a span. */
static double nice_step(double span, int count)
{
    double raw = span / count, power = pow(10, floor(log10(raw))), factor = raw / power;
    return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

/* A span of nothing becomes one around its value. */
static void axis_settle(struct axis *a, int ticks)
{
    if (!(a->high > a->low)) {
        double room = a->low == 0 ? 1 : fabs(a->low) * 0.1;
        a->low -= room;
        a->high += room;
    }
    a->step = nice_step(a->high - a->low, ticks);
}

static bool drawable(const struct plot_line *l, size_t i)
{
    return isfinite(l->x[i]) && isfinite(l->y[i]) && fabs(l->x[i]) < 1e15 && fabs(l->y[i]) < 1e30;
}

static bool frame_of(struct frame *f, const struct plot *p)
{
    f->x = f->y = (struct axis) { .low = INFINITY, .high = -INFINITY };
    for (size_t k = 0; k < p->n_lines; k++)
        for (size_t i = 0; i < p->lines[k].n; i++) {
            const struct plot_line *l = &p->lines[k];
            if (!drawable(l, i))
                continue;
            f->x.low = fmin(f->x.low, l->x[i]);
            f->x.high = fmax(f->x.high, l->x[i]);
            f->y.low = fmin(f->y.low, l->y[i]);
            f->y.high = fmax(f->y.high, l->y[i]);
        }
    if (!(f->x.low <= f->x.high))
        return false;
    axis_settle(&f->x, X_TICKS);
    axis_settle(&f->y, Y_TICKS);
    f->y.low = floor(f->y.low / f->y.step) * f->y.step;
    f->y.high = ceil(f->y.high / f->y.step) * f->y.step;
    return true;
}

static double place_x(const struct frame *f, double x)
{
    return LEFT + COLUMNS * (x - f->x.low) / (f->x.high - f->x.low);
}

static double place_y(const struct frame *f, double y)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - f->y.low) / (f->y.high - f->y.low);
}

/* A multiple of the step that rounding made almost 0 is 0. */
static double tick_at(const struct axis *a, double i)
{
    double v = i * a->step;
    return fabs(v) < a->step / 2 ? 0 : v;
}

static void draw_grid(struct buffer *out, const struct frame *f, const char *x_label)
{
    for (double i = ceil(f->y.low / f->y.step - 1e-9); i * f->y.step <= f->y.high + f->y.step * 1e-6; i++) {
        double y = place_y(f, tick_at(&f->y, i));
        buffer_printf(out, "<line class=\"grid\" stroke=\"#ddd\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n", LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4,
            tick_at(&f->y, i));
    }
    for (double i = ceil(f->x.low / f->x.step - 1e-9); i * f->x.step <= f->x.high + f->x.step * 1e-6; i++)
        buffer_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.10g</text>\n",
            place_x(f, tick_at(&f->x, i)), HEIGHT - BOTTOM + 16, tick_at(&f->x, i));
    buffer_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", LEFT + COLUMNS / 2, HEIGHT - 6);
    plot_text(out, x_label);
    buffer_add_text(out, "</text>\n");
}

/* What a column of the picture shows of a line. */
struct column {
    double x, sum, low, high;
    size_t n;
};

static void columns_fill(struct column *columns, const struct frame *f, const struct plot_line *l)
{
    memset(columns, 0, (COLUMNS + 1) * sizeof *columns);
    for (size_t i = 0; i < l->n; i++) {
        if (!drawable(l, i))
            continue;
        struct column *c = &columns[(int)(place_x(f, l->x[i]) - LEFT)];
        c->low = c->n ? fmin(c->low, l->y[i]) : l->y[i];
        c->high = c->n ? fmax(c->high, l->y[i]) : l->y[i];
        c->x += l->x[i];
        c->sum += l->y[i];
        c->n++;
    }
}

/* style="fill:..." of a line's colour; pictures that stand alone have those of light screens. */
static void add_colour(struct buffer *out, const char *property, size_t index)
{
    static const char *const colours[PLOT_LINES_MAX] = { "#1f5fbf", "#c2410c", "#15803d", "#7e22ce" };
    buffer_printf(out, " style=\"%s:var(--line-%zu,%s)\"", property, index, colours[index]);
}

static void draw_mean(struct buffer *out, const struct frame *f, const struct column *columns)
{
    const char *go = "M";
    for (int k = 0; k <= COLUMNS; k++) {
        const struct column *c = &columns[k];
        if (c->n == 0)
            continue;
        buffer_printf(out, "%s%.1f %.1f", go, place_x(f, c->x / (double)c->n), place_y(f, c->sum / (double)c->n));
        go = "L";
    }
}

/* Along the highest values and back along the lowest. */
static void draw_band(struct buffer *out, const struct frame *f, const struct column *columns)
{
    const char *go = "M";
    for (int k = 0; k < 2 * (COLUMNS + 1); k++) {
        bool back = k > COLUMNS;
        const struct column *c = &columns[back ? 2 * COLUMNS + 1 - k : k];
        if (c->n == 0)
            continue;
        buffer_printf(out, "%s%.1f %.1f", go, place_x(f, c->x / (double)c->n), place_y(f, back ? c->low : c->high));
        go = "L";
    }
}

static void draw_crowd(struct buffer *out, const struct frame *f, const struct plot_line *l, size_t index)
{
    struct column columns[COLUMNS + 1];
    columns_fill(columns, f, l);
    buffer_add_text(out, "<path class=\"band\" opacity=\".18\"");
    add_colour(out, "fill", index);
    buffer_add_text(out, " d=\"");
    draw_band(out, f, columns);
    buffer_add_text(out, "Z\"/>\n<path class=\"line\" fill=\"none\"");
    add_colour(out, "stroke", index);
    buffer_add_text(out, " d=\"");
    draw_mean(out, f, columns);
    buffer_add_text(out, "\"/>\n");
}

/* Few points: every one, with dots where a line alone could be a single point. */
static void draw_points(struct buffer *out, const struct frame *f, const struct plot_line *l, size_t index)
{
    const char *go = "M";
    buffer_add_text(out, "<path class=\"line\" fill=\"none\"");
    add_colour(out, "stroke", index);
    buffer_add_text(out, " d=\"");
    for (size_t i = 0; i < l->n; i++) {
        if (!drawable(l, i)) {
            go = "M";
            continue;
        }
        buffer_printf(out, "%s%.1f %.1f", go, place_x(f, l->x[i]), place_y(f, l->y[i]));
        go = "L";
    }
    buffer_add_text(out, "\"/>\n");
    for (size_t i = 0; l->n <= 60 && i < l->n; i++)
        if (drawable(l, i)) {
            buffer_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.4\"", place_x(f, l->x[i]),
                place_y(f, l->y[i]));
            add_colour(out, "fill", index);
            buffer_add_text(out, "/>\n");
        }
}

static void draw_labels(struct buffer *out, const struct plot *p)
{
    int x = LEFT + 190;
    for (size_t k = 0; p->n_lines > 1 && k < p->n_lines; k++, x += 130) {
        buffer_printf(out, "<rect x=\"%d\" y=\"10\" width=\"14\" height=\"4\"", x);
        add_colour(out, "fill", k);
        buffer_printf(out, "/><text x=\"%d\" y=\"16\">", x + 20);
        plot_text(out, p->lines[k].label);
        buffer_add_text(out, "</text>\n");
    }
}

void plot_svg(struct buffer *out, const struct plot *p)
{
    struct frame f;
    buffer_printf(out, "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
        "font-family=\"sans-serif\" font-size=\"12\"><title>", WIDTH, HEIGHT);
    plot_text(out, p->title);
    buffer_printf(out, "</title>\n<text x=\"%d\" y=\"16\" font-weight=\"600\">", LEFT);
    plot_text(out, p->title);
    buffer_add_text(out, "</text>\n");
    if (frame_of(&f, p)) {
        draw_grid(out, &f, p->x_label);
        for (size_t k = 0; k < p->n_lines; k++) {
            if (p->lines[k].n > COLUMNS)
                draw_crowd(out, &f, &p->lines[k], k);
            else
                draw_points(out, &f, &p->lines[k], k);
        }
        draw_labels(out, p);
    } else {
        buffer_printf(out, "<text x=\"%d\" y=\"%d\">nothing to show yet</text>\n", LEFT, HEIGHT / 2);
    }
    buffer_add_text(out, "</svg>\n");
}
