/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions and plans over the tiny golden models: whatever way a session came to its tokens, it says the same. */
#include "case.h"
#include "support.h"

#include "base/cpu.h"
#include "infer/batch.h"
#include "infer/plan.h"
#include "infer/session.h"
#include "kernel/kernel.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH = 30, VOCABULARY_MAX = 2048 };

struct opened {
    struct golden_case c;
    struct source *source;
    struct model *model;
    int vocabulary;
    int32_t ids[LENGTH];
};

static void open_case(struct opened *o, const char *name)
{
    char file[128];
    const char *folder = test_folder();
    struct error e = { 0 };
    snprintf(file, sizeof file, "tests/golden/data/models/%s.json", name);
    case_read(&o->c, test_repo(file));
    case_write_folder(&o->c, folder);
    if (source_open(&o->source, folder, NULL, NULL, &e) != 0 || model_open(&o->model, o->source, NULL, &e) != 0)
        fail_msg("%s", e.text);
    o->vocabulary = (int)model_spec(o->model)->vocabulary;
    assert_true(o->vocabulary <= VOCABULARY_MAX && model_spec(o->model)->context >= LENGTH);
    for (int i = 0; i < LENGTH; i++)
        o->ids[i] = (int32_t)((i * 37 + 11) % o->vocabulary);
}

static void close_case(struct opened *o)
{
    model_close(o->model);
    source_close(o->source);
    case_release(&o->c);
}

static struct session *open_session(const struct opened *o, int chunk, int logits)
{
    struct session *s;
    struct error e = { 0 };
    struct session_options options = { .kv_format = &format_f32, .context = LENGTH, .chunk = chunk, .logits = logits,
        .threads = 2 };
    if (session_open(&s, o->model, &options, &e) != 0)
        fail_msg("%s", e.text);
    assert_null(session_logits(s));
    assert_int_equal(session_context(s), LENGTH);
    return s;
}

static void sync_to(struct session *s, const int32_t *ids, size_t n)
{
    struct error e = { 0 };
    if (session_sync(s, ids, n, NULL, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(session_length(s), n);
}

/* What a new session says behind ids[0 .. n). */
static void expect(const struct opened *o, const struct session *s, const int32_t *ids, size_t n)
{
    struct session *fresh = open_session(o, LENGTH, 1);
    sync_to(fresh, ids, n);
    assert_int_equal(session_reused(fresh), 0);
    assert_memory_equal(session_logits(s), session_logits(fresh), (size_t)o->vocabulary * sizeof(float));
    session_close(fresh);
}

static const char *const names[] = { "llama_grouped", "mistral_window", "gemma3", "gpt2_tied" };

static void prefixes_are_reused(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct opened o;
        int32_t other[LENGTH];
        open_case(&o, names[k]);
        bool windowed = false;
        for (int i = 0; i < model_spec(o.model)->layers; i++)
            windowed = windowed || model_spec(o.model)->layer[i].window > 0;
        struct session *s = open_session(&o, 4, 1);
        sync_to(s, o.ids, 20);
        expect(&o, s, o.ids, 20);
        sync_to(s, o.ids, 20);
        assert_int_equal(session_reused(s), 20);
        expect(&o, s, o.ids, 20);
        sync_to(s, o.ids, 24);
        assert_int_equal(session_reused(s), 20);
        expect(&o, s, o.ids, 24);
        memcpy(other, o.ids, sizeof other);
        other[17] = (other[17] + 1) % o.vocabulary;
        sync_to(s, other, 22);
        assert_true(windowed ? session_reused(s) <= 17 : session_reused(s) == 17);
        expect(&o, s, other, 22);
        sync_to(s, other, 9);
        assert_true(windowed ? session_reused(s) <= 8 : session_reused(s) == 8);
        expect(&o, s, other, 9);
        assert_int_equal(session_push(s, other[9], NULL), 0);
        expect(&o, s, other, 10);
        session_close(s);
        close_case(&o);
    }
}

/* Rings come back to a place that was marked, and only to one that the ids still lead through. */
static void marked_places_are_come_back_to(void **state)
{
    (void)state;
    static const char *const windowed[] = { "mistral_window", "gemma3" };
    for (size_t k = 0; k < sizeof windowed / sizeof *windowed; k++) {
        struct opened o;
        int32_t other[LENGTH];
        open_case(&o, windowed[k]);
        struct session_options options = { .kv_format = &format_f32, .context = LENGTH, .chunk = 2, .threads = 2,
            .marks = 2 };
        struct session *s;
        assert_int_equal(session_open(&s, o.model, &options, NULL), 0);
        sync_to(s, o.ids, 5);
        session_mark(s);
        sync_to(s, o.ids, 9);
        session_mark(s);
        session_mark(s);
        sync_to(s, o.ids, 29);
        memcpy(other, o.ids, sizeof other);
        other[10] = (other[10] + 1) % o.vocabulary;
        sync_to(s, other, 28);
        assert_int_equal(session_reused(s), 9);
        expect(&o, s, other, 28);
        session_mark(s); /* takes the place of the mark at 5 */
        sync_to(s, o.ids, 9);
        assert_true(session_reused(s) < 9);
        expect(&o, s, o.ids, 9);
        other[7] = (other[7] + 1) % o.vocabulary; /* the marks lie in a past that is not this one's */
        sync_to(s, other, 29);
        expect(&o, s, other, 29);
        sync_to(s, o.ids, 26);
        assert_int_equal(session_reused(s), 0);
        expect(&o, s, o.ids, 26);
        session_close(s);
        close_case(&o);
    }
}

static void the_context_ends_aloud(void **state)
{
    (void)state;
    struct opened o;
    int32_t more[LENGTH + 1] = { 0 };
    struct error e = { 0 };
    open_case(&o, "llama_grouped");
    struct session *s = open_session(&o, 8, 1);
    sync_to(s, o.ids, LENGTH);
    assert_int_equal(session_push(s, 1, &e), ERROR_LIMIT);
    assert_non_null(strstr(e.text, "31 tokens do not fit the context of 30"));
    assert_int_equal(session_sync(s, more, LENGTH + 1, NULL, &e), ERROR_LIMIT);
    assert_int_equal(session_length(s), LENGTH);
    expect(&o, s, o.ids, LENGTH);
    more[3] = o.vocabulary;
    assert_int_not_equal(session_sync(s, more, 5, NULL, &e), 0);
    sync_to(s, o.ids, 6); /* an error leaves a session that works */
    expect(&o, s, o.ids, 6);
    session_close(s);
    close_case(&o);
}

struct watcher {
    int reports, last_done, total, cancel_after;
};

static void on_progress(void *context, int done, int total)
{
    struct watcher *w = context;
    w->reports++;
    assert_true(done > w->last_done && done <= total);
    w->last_done = done;
    w->total = total;
}

static bool on_ask(void *context)
{
    struct watcher *w = context;
    return w->reports >= w->cancel_after;
}

static void a_cancelled_prompt_goes_on_later(void **state)
{
    (void)state;
    struct opened o;
    open_case(&o, "qwen3");
    struct watcher w = { .cancel_after = 2 };
    struct session_watch watch = { on_progress, on_ask, &w };
    struct session *s = open_session(&o, 5, 1);
    assert_int_equal(session_sync(s, o.ids, 22, &watch, NULL), ERROR_CANCELLED);
    assert_int_equal(session_length(s), 10);
    w = (struct watcher) { .cancel_after = 100 };
    assert_int_equal(session_sync(s, o.ids, 22, &watch, NULL), 0);
    assert_int_equal(session_reused(s), 10);
    assert_int_equal(w.reports, 3);
    assert_int_equal(w.last_done, 12);
    assert_int_equal(w.total, 12);
    expect(&o, s, o.ids, 22);
    session_close(s);
    close_case(&o);
}

struct rows {
    const struct opened *o;
    struct session *step;
    size_t seen;
};

static int compare_row(void *context, size_t index, const float *logits, struct error *err)
{
    struct rows *r = context;
    assert_int_equal(index, r->seen++);
    assert_int_equal(session_push(r->step, r->o->ids[index], err), 0);
    assert_memory_equal(logits, session_logits(r->step), (size_t)r->o->vocabulary * sizeof(float));
    return index == 12 ? error_set(err, ERROR_USAGE, "enough") : 0;
}

static void every_row_is_given(void **state)
{
    (void)state;
    struct opened o;
    struct error e = { 0 };
    open_case(&o, "gemma2");
    struct rows r = { .o = &o, .step = open_session(&o, 1, 1) };
    struct session *s = open_session(&o, 7, 3);
    assert_int_equal(session_each(s, o.ids, 11, compare_row, &r, NULL, &e), 0);
    assert_int_equal(r.seen, 11);
    session_close(r.step);
    r = (struct rows) { .o = &o, .step = open_session(&o, 1, 1) };
    assert_int_equal(session_each(s, o.ids, 20, compare_row, &r, NULL, &e), ERROR_USAGE);
    assert_int_equal(r.seen, 13);
    sync_to(s, o.ids, 16);
    expect(&o, s, o.ids, 16);
    session_close(r.step);
    session_close(s);
    close_case(&o);
}

static void senseless_options_are_refused(void **state)
{
    (void)state;
    struct opened o;
    struct session *s;
    struct error e = { 0 };
    open_case(&o, "llama_grouped");
    int context = model_spec(o.model)->context;
    const struct { struct session_options options; int code; } cases[] = {
        { { .context = context + 1, .threads = 1 }, ERROR_USAGE },
        { { .context = 0, .threads = 1 }, ERROR_USAGE },
        { { .context = 8, .threads = 0 }, ERROR_USAGE },
        { { .context = 8, .chunk = 4, .logits = 5, .threads = 1 }, ERROR_USAGE },
        { { .context = 8, .threads = 1, .kv_format = &format_q4_k }, ERROR_UNSUPPORTED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(session_open(&s, o.model, &cases[i].options, &e), cases[i].code);
        assert_null(s);
    }
    session_close(NULL);
    close_case(&o);
}

enum { SEQUENCES = 3, STEPS = 10 };

/* Sequence i walks the ids from its own place. */
static void expect_batch(const struct opened *o, struct batch *b)
{
    for (int step = 0; step < STEPS; step++) {
        int32_t ids[SEQUENCES];
        for (int i = 0; i < SEQUENCES; i++)
            ids[i] = o->ids[i * STEPS + step];
        assert_int_equal(batch_push(b, ids, NULL), 0);
    }
    for (int i = 0; i < SEQUENCES; i++) {
        struct session *alone = open_session(o, LENGTH, 1);
        sync_to(alone, o->ids + i * STEPS, STEPS);
        assert_memory_equal(batch_logits(b, i), session_logits(alone), (size_t)o->vocabulary * sizeof(float));
        session_close(alone);
    }
}

static void a_batch_says_what_each_says_alone(void **state)
{
    (void)state;
    static const char *const more[] = { "llama_grouped", "mistral_window", "gpt2_tied", "mixtral" };
    const struct batch_options options = { .kv_format = &format_f32, .sequences = SEQUENCES, .context = STEPS,
        .threads = 2 };
    for (size_t k = 0; k < sizeof more / sizeof *more; k++) {
        struct opened o;
        struct error e = { 0 };
        struct batch *b;
        open_case(&o, more[k]);
        assert_int_equal(batch_open(&b, o.model, &options, &e), 0);
        expect_batch(&o, b);
        assert_int_equal(batch_push(b, o.ids, &e), ERROR_LIMIT);
        batch_clear(b);
        expect_batch(&o, b);
        batch_close(b);
        struct batch_options none = options;
        none.sequences = 0;
        assert_int_equal(batch_open(&b, o.model, &none, &e), ERROR_USAGE);
        assert_null(b);
        none.sequences = SEQUENCES;
        none.kv_format = &format_q4_0;
        assert_int_equal(batch_open(&b, o.model, &none, &e), ERROR_UNSUPPORTED);
        close_case(&o);
    }
}

/* Sequences of their own lengths: prompts in chunks, copies of them, some that wait. */
static void a_batch_grows_unevenly(void **state)
{
    (void)state;
    static const char *const more[] = { "llama_grouped", "mistral_window", "gpt_oss" };
    const struct batch_options options = { .kv_format = &format_f32, .sequences = SEQUENCES, .context = LENGTH,
        .chunk = 4, .threads = 2 };
    for (size_t k = 0; k < sizeof more / sizeof *more; k++) {
        struct opened o;
        struct error e = { 0 };
        struct batch *b;
        open_case(&o, more[k]);
        assert_int_equal(batch_open(&b, o.model, &options, &e), 0);
        for (int again = 0; again < 2; again++) { /* a prompt replaces what was held */
            assert_int_equal(batch_prompt(b, 0, o.ids, 11, &e), 0);
            assert_int_equal(batch_prompt(b, 2, o.ids, 0, &e), 0);
            batch_copy(b, 1, 0);
            for (int i = 0; i < 6; i++) /* sequence 1 goes on with the prompt's text, 2 begins it */
                assert_int_equal(batch_push_some(b, (const int[]) { 2, 1 },
                    (const int32_t[]) { o.ids[i], o.ids[11 + i] }, 2, &e), 0);
            struct session *alone = open_session(&o, LENGTH, 1);
            sync_to(alone, o.ids, 17);
            assert_memory_equal(batch_logits(b, 1), session_logits(alone), (size_t)o.vocabulary * sizeof(float));
            sync_to(alone, o.ids, 6);
            assert_memory_equal(batch_logits(b, 0), session_logits(alone), (size_t)o.vocabulary * sizeof(float));
            assert_int_equal(batch_push_some(b, (const int[]) { 0 }, &o.ids[11], 1, &e), 0); /* it waited */
            sync_to(alone, o.ids, 12);
            assert_memory_equal(batch_logits(b, 0), session_logits(alone), (size_t)o.vocabulary * sizeof(float));
            session_close(alone);
        }
        assert_int_equal(batch_prompt(b, 0, o.ids, LENGTH + 1, &e), ERROR_LIMIT);
        assert_int_equal(batch_push_some(b, (const int[]) { 0 }, &(int32_t) { -1 }, 1, &e), ERROR_USAGE);
        batch_close(b);
        close_case(&o);
    }
}

static void attention_reads_what_a_window_shows(void **state)
{
    (void)state;
    struct opened o;
    open_case(&o, "gpt2_tied");
    const struct spec *s = model_spec(o.model);
    assert_int_equal(kv_read_bytes(s, &format_f16, 0), 4 * s->layers * s->dim);
    assert_int_equal(kv_read_bytes(s, &format_f32, 9), 80 * s->layers * s->dim);
    close_case(&o);
    open_case(&o, "mistral_window");
    s = model_spec(o.model);
    int window = s->layer[0].window;
    assert_true(window > 1);
    uint64_t position = 4 * (uint64_t)(s->layers * s->kv_heads * s->head_dim);
    assert_int_equal(kv_read_bytes(s, &format_f16, window - 2), (uint64_t)(window - 1) * position);
    assert_int_equal(kv_read_bytes(s, &format_f16, window - 1), (uint64_t)window * position);
    assert_int_equal(kv_read_bytes(s, &format_f16, window + 20), (uint64_t)window * position);
    close_case(&o);
}

static void plans_add_up(void **state)
{
    (void)state;
    struct opened o;
    struct error e = { 0 };
    struct model_size size;
    struct plan p, less;
    open_case(&o, "llama_grouped");
    model_measure(o.model, &size);
    struct session_options options = { .kv_format = &format_f32, .context = LENGTH, .threads = 1 };
    struct plan_process process = { .resident = 1000000, .reserved = 500, .available = (uint64_t)1 << 40 };
    plan_make(&p, o.model, &options, &process);
    assert_true(p.weights_mapped + p.weights_copied >= size.parameters * 2 && p.kv > 0 && p.scratch > 500);
    assert_int_equal(p.total, p.process + p.weights_mapped + p.weights_copied + p.kv + p.scratch);
    assert_true(plan_fits(&p));
    assert_int_equal(plan_check(&p, o.model, &options, &e), 0);
    assert_int_equal(plan_context(o.model, &options, LENGTH, process.available), LENGTH);
    process.peak = 1 << 30;
    plan_make(&p, o.model, &options, &process);
    assert_int_equal(p.total, 1 << 30);
    /* As much as a shorter context takes: then that is the longest. */
    options.context = 11;
    plan_make(&less, o.model, &options, &(struct plan_process) { 0 });
    options.context = LENGTH;
    process.available = less.weights_mapped + less.kv + less.scratch;
    assert_int_equal(plan_context(o.model, &options, LENGTH, process.available), 11);
    plan_make(&p, o.model, &options, &process);
    assert_false(plan_fits(&p));
    assert_int_equal(plan_check(&p, o.model, &options, &e), ERROR_LIMIT);
    assert_non_null(strstr(e.text, "--ctx 11 needs"));
    assert_non_null(strstr(e.text, "--kv "));
    close_case(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_are_reused),
        cmocka_unit_test(marked_places_are_come_back_to),
        cmocka_unit_test(the_context_ends_aloud),
        cmocka_unit_test(a_cancelled_prompt_goes_on_later),
        cmocka_unit_test(every_row_is_given),
        cmocka_unit_test(senseless_options_are_refused),
        cmocka_unit_test(a_batch_says_what_each_says_alone),
        cmocka_unit_test(a_batch_grows_unevenly),
        cmocka_unit_test(attention_reads_what_a_window_shows),
        cmocka_unit_test(plans_add_up),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
