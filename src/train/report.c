/* SPDX-License-Identifier: Apache-2.0 */
#include "train/report.h"

#include "base/filemap.h"
#include "base/plot.h"

#include <string.h>

#define RELOAD_SECONDS 10

/* "learning_rate" is "learning rate". */
static void add_name(struct buffer *out, const char *name)
{
    size_t at = out->used;
    plot_text(out, name);
    for (; at < out->used; at++)
        if (out->data[at] == '_')
            out->data[at] = ' ';
}

static void add_head(struct buffer *out, const struct history *h)
{
    buffer_add_text(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n");
    if (!h->end)
        buffer_printf(out, "<meta http-equiv=\"refresh\" content=\"%d\">\n", RELOAD_SECONDS);
    buffer_add_text(out, "<title>wazn: ");
    plot_text(out, json_text(h->run, "name", "training"));
    buffer_add_text(out, "</title>\n<style>\n");
    plot_style(out);
    buffer_add_text(out, "body{margin:2em auto;max-width:60em;padding:0 1em;background:var(--paper);color:var(--ink);"
        "font:15px/1.5 system-ui,sans-serif}\n"
        "table{border-collapse:collapse}td{padding:.1em 1em .1em 0;vertical-align:top}\n"
        "figure{margin:1em 0}blockquote{margin:.5em 0;padding:.3em 1em;border-inline-start:3px solid var(--faint);"
        "white-space:pre-wrap}\n</style>\n</head>\n<body>\n");
}

/* Numbers and texts of the "run" line; lists and objects as JSON. */
static void add_value(struct buffer *out, const json_t *value)
{
    struct buffer text = { 0 };
    if (json_is_string(value))
        buffer_add_text(&text, json_string_value(value));
    else
        json_write(&text, value, 0);
    if (text.data && !text.failed)
        plot_text(out, text.data);
    out->failed = out->failed || text.failed;
    buffer_release(&text);
}

static void add_run(struct buffer *out, const struct history *h)
{
    const char *key;
    json_t *value;
    buffer_add_text(out, "<h1>");
    plot_text(out, json_text(h->run, "name", "Training"));
    buffer_add_text(out, "</h1>\n<table>\n");
    json_object_foreach(h->run, key, value) {
        if (strcmp(key, "type") == 0 || strcmp(key, "name") == 0)
            continue;
        buffer_add_text(out, "<tr><td>");
        add_name(out, key);
        buffer_add_text(out, "</td><td dir=\"auto\">");
        add_value(out, value);
        buffer_add_text(out, "</td></tr>\n");
    }
    buffer_add_text(out, "</table>\n");
}

/* Where the run stands: every number of its last step. */
static void add_last(struct buffer *out, const struct history *h)
{
    const struct series *loss = history_find(h, "loss", false);
    buffer_add_text(out, "<p>");
    if (loss)
        buffer_printf(out, "Step %.0f, loss %.4g. ", loss->step[loss->n - 1], loss->value[loss->n - 1]);
    plot_text(out, h->end ? json_text(h->end, "reason", "The run has ended") : "The run goes on");
    buffer_add_text(out, ".</p>\n");
}

static void add_plot(struct buffer *out, const struct series *learned, const struct series *validated)
{
    const struct series *first = learned ? learned : validated;
    struct plot_line lines[2];
    struct buffer title = { 0 };
    size_t n = 0;
    if (learned)
        lines[n++] = (struct plot_line) { .label = "training", .x = learned->step, .y = learned->value,
            .n = learned->n };
    if (validated)
        lines[n++] = (struct plot_line) { .label = "validation", .x = validated->step, .y = validated->value,
            .n = validated->n };
    add_name(&title, first->name);
    struct plot plot = { .title = title.data ? title.data : "", .x_label = "step", .lines = lines, .n_lines = n };
    buffer_add_text(out, "<figure>\n");
    plot_svg(out, &plot);
    buffer_add_text(out, "</figure>\n");
    out->failed = out->failed || title.failed;
    buffer_release(&title);
}

/* The loss comes first; what counts time or position is no plot of its own. */
static void add_plots(struct buffer *out, const struct history *h)
{
    static const char *const no_plot[] = { "loss", "epoch", "tokens", "seconds" };
    const struct series *loss = history_find(h, "loss", false), *validated = history_find(h, "loss", true);
    if (loss || validated)
        add_plot(out, loss, validated);
    for (size_t i = 0; i < h->n_series; i++) {
        const struct series *s = &h->series[i], *other = history_find(h, s->name, !s->validation);
        bool shown = s->validation && other; /* with its twin */
        for (size_t k = 0; k < sizeof no_plot / sizeof *no_plot; k++)
            shown = shown || strcmp(s->name, no_plot[k]) == 0;
        if (!shown)
            add_plot(out, s->validation ? NULL : s, s->validation ? s : other);
    }
}

static void add_samples(struct buffer *out, const struct history *h)
{
    if (json_array_size(h->samples) > 0)
        buffer_add_text(out, "<h2>Written by the model</h2>\n");
    for (size_t i = json_array_size(h->samples); i > 0; i--) {
        const json_t *sample = json_array_get(h->samples, i - 1);
        buffer_printf(out, "<p>Step %lld</p>\n<blockquote dir=\"auto\"><b>", json_whole(sample, "step", 0));
        plot_text(out, json_text(sample, "prompt", ""));
        buffer_add_text(out, "</b>");
        plot_text(out, json_text(sample, "text", ""));
        buffer_add_text(out, "</blockquote>\n");
    }
}

void report_page(struct buffer *out, const struct history *h)
{
    add_head(out, h);
    add_run(out, h);
    add_last(out, h);
    add_plots(out, h);
    add_samples(out, h);
    buffer_add_text(out, "</body>\n</html>\n");
}

int report_write(const char *log_path, const char *html_path, struct error *err)
{
    struct history h;
    struct buffer page = { 0 };
    int rc = history_read(&h, log_path, err);
    if (rc)
        return rc;
    report_page(&page, &h);
    rc = buffer_check(&page, "a report", err);
    if (rc == 0)
        rc = file_write(html_path, page.data, page.used, err);
    buffer_release(&page);
    history_release(&h);
    return rc;
}
