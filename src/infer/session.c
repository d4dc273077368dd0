/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/session.h"

#include "base/arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct session {
    const struct model *model;
    struct session_options options; /* with the defaults filled in */
    struct kv kv;
    struct pass *pass;
    struct kv_mark *marks; /* (options.marks; none where no layer forgets), each behind a prefix of ids */
    int n_marks;
    int32_t *ids;     /* (context) what the cache holds: kv.length of them */
    bool has_logits;  /* of the last token held */
    int reused;
    struct arena arena; /* kv and ids */
};

static struct session_options completed(const struct session_options *options)
{
    struct session_options o = *options;
    if (!o.kv_format)
        o.kv_format = &format_f16;
    if (o.chunk == 0)
        o.chunk = o.context < SESSION_CHUNK ? o.context : SESSION_CHUNK;
    if (o.logits == 0)
        o.logits = 1;
    return o;
}

static struct kv_options kv_options_of(const struct session_options *o)
{
    return (struct kv_options) { .format = o->kv_format, .context = o->context, .tokens_max = o->chunk };
}

static struct pass_options pass_options_of(const struct session_options *o)
{
    return (struct pass_options) {
        .tokens_max = o->chunk, .logits_max = o->logits, .context_max = o->context, .threads = o->threads,
        .trace = o->trace, .trace_context = o->trace_context
    };
}

static void layout(struct session *s, struct arena *a)
{
    struct kv_options kv = kv_options_of(&s->options);
    const struct spec *spec = model_spec(s->model);
    kv_layout(&s->kv, spec, &kv, a);
    s->n_marks = s->kv.ring > 0 ? s->options.marks : 0;
    s->marks = arena_take(a, (size_t)s->n_marks, sizeof *s->marks);
    for (int i = 0; i < s->n_marks; i++) {
        struct kv_mark mark;
        kv_mark_layout(&mark, &s->kv, spec, a);
        if (s->marks)
            s->marks[i] = mark;
    }
    s->ids = arena_take(a, (size_t)s->options.context, sizeof *s->ids);
}

void session_measure(const struct model *m, const struct session_options *options, uint64_t *kv, uint64_t *scratch)
{
    struct session s = { .model = m, .options = completed(options) };
    struct pass_options pass = pass_options_of(&s.options);
    layout(&s, &s.arena);
    *kv = s.arena.used;
    *scratch = pass_bytes(m, &pass);
}

static int check_options(const struct model *m, const struct session_options *o, struct error *err)
{
    const struct spec *spec = model_spec(m);
    struct kv_options kv = kv_options_of(o);
    if (o->context < 1 || o->context > spec->context)
        return error_set(err, ERROR_USAGE, "a context of %d tokens is asked for, the model was made for 1 to %d",
            o->context, spec->context);
    if (o->chunk < 1 || o->logits < 1 || o->logits > o->chunk || o->threads < 1 || o->marks < 0)
        return error_set(err, ERROR_USAGE,
            "session with passes of %d tokens, %d rows of logits, %d threads and %d marks", o->chunk, o->logits,
            o->threads, o->marks);
    return kv_check(spec, &kv, err);
}

static int reserve(struct session *s, struct error *err)
{
    layout(s, &s->arena);
    int rc = arena_reserve(&s->arena, err);
    if (rc) {
        error_in(err, "keys and values for %d tokens", s->options.context);
        return rc;
    }
    layout(s, &s->arena);
    struct pass_options pass = pass_options_of(&s->options);
    return pass_open(&s->pass, s->model, &pass, err);
}

int session_open(struct session **out, const struct model *m, const struct session_options *options, struct error *err)
{
    *out = NULL;
    struct session_options completed_options = completed(options);
    int rc = check_options(m, &completed_options, err);
    if (rc)
        return rc;
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return error_memory(err, sizeof *s, "a session");
    s->model = m;
    s->options = completed_options;
    rc = reserve(s, err);
    if (rc) {
        session_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void session_close(struct session *s)
{
    if (!s)
        return;
    pass_close(s->pass);
    arena_release(&s->arena);
    free(s);
}

static int check_room(const struct session *s, size_t n, struct error *err)
{
    if (n > (size_t)s->options.context)
        return error_set(err, ERROR_LIMIT, "%zu tokens do not fit the context of %d", n, s->options.context);
    return 0;
}

/* One pass over ids[0 .. count), behind what is held. */
static int run_pass(struct session *s, const int32_t *ids, int count, bool all_logits, struct error *err)
{
    struct pass_sequence sequence = { .kv = &s->kv, .ids = ids, .count = count, .all_logits = all_logits };
    int at = s->kv.length;
    s->has_logits = false;
    int rc = pass_run(s->pass, &sequence, 1, err);
    if (rc)
        return rc;
    memmove(s->ids + at, ids, (size_t)count * sizeof *ids);
    s->has_logits = true;
    return 0;
}

static bool is_cancelled(const struct session_watch *watch)
{
    return watch && watch->cancelled && watch->cancelled(watch->context);
}

static void report(const struct session_watch *watch, size_t done, size_t total)
{
    if (watch && watch->progress)
        watch->progress(watch->context, (int)done, (int)total);
}

void session_mark(struct session *s)
{
    struct kv_mark *oldest = s->marks;
    for (int i = 0; i < s->n_marks; i++) {
        if (s->marks[i].length == s->kv.length)
            return;
        if (s->marks[i].length < oldest->length)
            oldest = &s->marks[i];
    }
    if (s->n_marks > 0)
        kv_mark_save(oldest, &s->kv, model_spec(s->model));
}

/* The last mark at most `length` tokens from the start, or NULL. */
static const struct kv_mark *find_mark(const struct session *s, int length)
{
    const struct kv_mark *best = NULL;
    for (int i = 0; i < s->n_marks; i++) {
        const struct kv_mark *m = &s->marks[i];
        if (m->length > 0 && m->length <= length && (!best || m->length > best->length))
            best = m;
    }
    return best;
}

/* The cache is now at a prefix of what it held: marks behind that are of another past. */
static void forget_marks(struct session *s)
{
    for (int i = 0; i < s->n_marks; i++)
        if (s->marks[i].length > s->kv.length)
            s->marks[i].length = -1;
}

/* Cut the cache back to as much of ids as needs no new pass: held already, and still or again at hand. The last token
 * of ids is evaluated again unless its logits are there. */
static void cut_back(struct session *s, const int32_t *ids, size_t n)
{
    int held = s->kv.length, common = 0;
    while (common < held && (size_t)common < n && ids[common] == s->ids[common])
        common++;
    if ((size_t)common == n && !(common == held && s->has_logits))
        common--;
    int kept = kv_reusable(&s->kv, model_spec(s->model), common);
    const struct kv_mark *mark = kept < common ? find_mark(s, common) : NULL;
    if (mark && mark->length > kept)
        kv_mark_restore(mark, &s->kv, model_spec(s->model));
    else
        kv_cut(&s->kv, kept);
    s->has_logits = s->has_logits && s->kv.length == held;
    forget_marks(s);
}

int session_sync(struct session *s, const int32_t *ids, size_t n, const struct session_watch *watch, struct error *err)
{
    assert(n > 0);
    int rc = check_room(s, n, err);
    if (rc)
        return rc;
    cut_back(s, ids, n);
    size_t done = (size_t)s->kv.length, first = done;
    s->reused = (int)done;
    while (done < n) {
        if (is_cancelled(watch))
            return error_set(err, ERROR_CANCELLED, "stopped after %zu of %zu prompt tokens", done, n);
        int count = n - done < (size_t)s->options.chunk ? (int)(n - done) : s->options.chunk;
        rc = run_pass(s, ids + done, count, false, err);
        if (rc)
            return rc;
        done += (size_t)count;
        report(watch, done - first, n - first);
    }
    return 0;
}

int session_push(struct session *s, int32_t id, struct error *err)
{
    int rc = check_room(s, (size_t)s->kv.length + 1, err);
    return rc ? rc : run_pass(s, &id, 1, false, err);
}

int session_each(struct session *s, const int32_t *ids, size_t n, session_row *row, void *context,
    const struct session_watch *watch, struct error *err)
{
    int rc = check_room(s, n, err);
    if (rc)
        return rc;
    kv_cut(&s->kv, 0);
    s->has_logits = false;
    forget_marks(s);
    for (size_t done = 0; done < n;) {
        if (is_cancelled(watch))
            return error_set(err, ERROR_CANCELLED, "stopped after %zu of %zu tokens", done, n);
        int count = n - done < (size_t)s->options.logits ? (int)(n - done) : s->options.logits;
        rc = run_pass(s, ids + done, count, true, err);
        for (int i = 0; rc == 0 && i < count; i++)
            rc = row(context, done + (size_t)i, pass_logits(s->pass, i), err);
        s->has_logits = false; /* row 0 is not the last token's */
        if (rc)
            return rc;
        done += (size_t)count;
        report(watch, done, n);
    }
    return 0;
}

const float *session_logits(const struct session *s)
{
    return s->has_logits ? pass_logits(s->pass, 0) : NULL;
}

int session_length(const struct session *s)
{
    return s->kv.length;
}

int session_reused(const struct session *s)
{
    return s->reused;
}

int session_context(const struct session *s)
{
    return s->options.context;
}
