/* SPDX-License-Identifier: Apache-2.0 */
/* A run's log becomes series and a page. */
#include "support.h"

#include "base/filemap.h"
#include "base/plot.h"
#include "train/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *written(const char *text)
{
    const char *path = test_join(test_folder(), "log.jsonl");
    test_write(path, text, strlen(text));
    return path;
}

static void assert_refused(const char *log, const char *words)
{
    struct error err = { 0 };
    struct history h;
    assert_int_not_equal(history_read(&h, written(log), &err), 0);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    assert_refused("{\"type\":\"step\",\"step\":1,\"loss\":2}\n{\"type\":\n", "line 2");
    assert_refused("[1]\n", "line 1: it is no object with a \"type\"");
    assert_refused("{\"type\":\"step\",\"loss\":2}\n", "\"step\" is no whole number");
    assert_refused("{\"type\":\"step\",\"step\":5,\"loss\":2}\n{\"type\":\"step\",\"step\":4,\"loss\":2}\n",
        "line 2: step 4 comes behind step 5");
}

static void too_many_series_are_refused(void **state)
{
    (void)state;
    struct buffer line = { 0 };
    buffer_add_text(&line, "{\"type\":\"step\",\"step\":1");
    for (int i = 0; i <= HISTORY_SERIES_MAX; i++)
        buffer_printf(&line, ",\"n%d\":1", i);
    buffer_add_text(&line, "}\n");
    assert_refused(line.data, "would be one more than 64 series");
    buffer_release(&line);
}

static void lines_become_series(void **state)
{
    (void)state;
    struct error err = { 0 };
    struct history h;
    const char *path = written("{\"type\":\"run\",\"name\":\"tiny\"}\n"
        "{\"type\":\"step\",\"step\":1,\"loss\":4.5,\"word\":\"no number\"}\n"
        "{\"type\":\"validation\",\"step\":1,\"loss\":4.75}\n"
        "{\"type\":\"step\",\"step\":2,\"loss\":4.25,\"learning_rate\":0.5}\n"
        "{\"type\":\"step\",\"step\":3,\"loss\":1}"); /* not ended: being written */
    assert_int_equal(history_read(&h, path, &err), 0);
    assert_int_equal(h.n_series, 3);
    const struct series *loss = history_find(&h, "loss", false), *validated = history_find(&h, "loss", true);
    assert_int_equal(loss->n, 2);
    assert_true(loss->step[1] == 2 && loss->value[1] == 4.25);
    assert_int_equal(validated->n, 1);
    assert_true(validated->value[0] == 4.75);
    assert_int_equal(history_find(&h, "learning_rate", false)->n, 1);
    assert_null(history_find(&h, "word", false));
    history_release(&h);
}

static void the_last_samples_are_kept(void **state)
{
    (void)state;
    struct error err = { 0 };
    struct history h;
    struct buffer log = { 0 };
    for (int i = 1; i <= HISTORY_SAMPLES_MAX + 5; i++)
        buffer_printf(&log, "{\"type\":\"sample\",\"step\":%d,\"prompt\":\"\",\"text\":\"t\"}\n", i);
    assert_int_equal(history_read(&h, written(log.data), &err), 0);
    assert_int_equal(json_array_size(h.samples), HISTORY_SAMPLES_MAX);
    assert_int_equal(json_whole(json_array_get(h.samples, 0), "step", 0), 6);
    history_release(&h);
    buffer_release(&log);
}

static char *page_of(const char *log)
{
    struct error err = { 0 };
    const char *html = test_join(test_folder(), "report.html");
    char *page = NULL;
    size_t size;
    if (report_write(written(log), html, &err) != 0 || file_read_new(&page, &size, html, 1 << 20, &err) != 0)
        fail_msg("%s", err.text);
    return page;
}

static void a_page_shows_the_run(void **state)
{
    (void)state;
    char *page = page_of("{\"type\":\"run\",\"name\":\"a<b> & \\\"c\\\"\",\"parameters\":1000}\n"
        "{\"type\":\"step\",\"step\":1,\"loss\":4.5,\"learning_rate\":0.1,\"tokens\":64}\n"
        "{\"type\":\"step\",\"step\":2,\"loss\":4.25,\"learning_rate\":0.2,\"tokens\":128}\n"
        "{\"type\":\"validation\",\"step\":2,\"loss\":4.75,\"bits_per_byte\":2}\n"
        "{\"type\":\"sample\",\"step\":2,\"prompt\":\"مرحبا\",\"text\":\"<b>\"}\n");
    assert_non_null(strstr(page, "<h1>a&lt;b&gt; &amp; &quot;c&quot;</h1>"));
    assert_non_null(strstr(page, "http-equiv=\"refresh\""));
    assert_non_null(strstr(page, "Step 2, loss 4.25"));
    assert_non_null(strstr(page, ">learning rate</title>"));
    assert_non_null(strstr(page, ">bits per byte</title>"));
    assert_non_null(strstr(page, ">validation</text>"));
    assert_null(strstr(page, ">tokens</title>"));
    assert_non_null(strstr(page, "<blockquote dir=\"auto\"><b>مرحبا</b>&lt;b&gt;</blockquote>"));
    free(page);
    page = page_of("{\"type\":\"step\",\"step\":1,\"loss\":4.5}\n{\"type\":\"end\",\"reason\":\"Stopped by hand\"}\n");
    assert_null(strstr(page, "http-equiv"));
    assert_non_null(strstr(page, "Stopped by hand."));
    free(page);
}

/* The numbers of the first "M..." path behind `from`. */
static int path_points(const char *from)
{
    const char *at = strstr(from, "d=\"M"), *end;
    int n = 0;
    assert_non_null(at);
    for (end = strchr(at + 3, '"'), at += 3; at < end; at++)
        n += *at == 'M' || *at == 'L';
    return n;
}

static void crowded_lines_become_bands(void **state)
{
    (void)state;
    enum { MANY = 50000 };
    double *x = malloc(2 * MANY * sizeof *x), *y = x + MANY;
    struct buffer out = { 0 };
    assert_non_null(x);
    for (int i = 0; i < MANY; i++) {
        x[i] = i;
        y[i] = i == 777 ? NAN : sin(i * 0.001) + (i % 2 ? 0.1 : -0.1);
    }
    struct plot_line line = { .label = "wave", .x = x, .y = y, .n = MANY };
    struct plot plot = { .title = "wave", .x_label = "step", .lines = &line, .n_lines = 1 };
    plot_svg(&out, &plot);
    assert_non_null(strstr(out.data, "class=\"band\""));
    assert_in_range(path_points(strstr(out.data, "class=\"line\"")), 500, 720);
    assert_null(strstr(out.data, "nan"));
    buffer_clear(&out);
    line.n = 3;
    plot_svg(&out, &plot);
    assert_null(strstr(out.data, "class=\"band\""));
    assert_int_equal(path_points(strstr(out.data, "class=\"line\"")), 3);
    buffer_clear(&out);
    line.n = 0;
    plot_svg(&out, &plot);
    assert_non_null(strstr(out.data, "nothing to show yet"));
    buffer_release(&out);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(too_many_series_are_refused),
        cmocka_unit_test(lines_become_series),
        cmocka_unit_test(the_last_samples_are_kept),
        cmocka_unit_test(a_page_shows_the_run),
        cmocka_unit_test(crowded_lines_become_bands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
