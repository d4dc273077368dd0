/* SPDX-License-Identifier: Apache-2.0 */
#include "publish/windows.h"

#include <string.h>

static int window_of(const struct model *m)
{
    int context = model_spec(m)->context;
    return context < WINDOWS_WINDOW ? context : WINDOWS_WINDOW;
}

int windows_open(struct windows *r, const struct model *m, int threads,
    void (*observe)(void *context, const struct weight *w, const struct value *x, int tokens), void *context,
    struct error *err)
{
    int window = window_of(m), step = window < WINDOWS_STEP ? window : WINDOWS_STEP;
    struct kv_options kv = { .format = &format_f32, .context = window, .tokens_max = step };
    struct pass_options pass = { .tokens_max = step, .logits_max = step, .context_max = window, .threads = threads,
        .observe = observe, .observe_context = context };
    memset(r, 0, sizeof *r);
    r->model = m;
    int rc = kv_check(model_spec(m), &kv, err);
    if (rc)
        return rc;
    kv_layout(&r->kv, model_spec(m), &kv, &r->arena);
    rc = arena_reserve(&r->arena, err);
    if (rc == 0) {
        kv_layout(&r->kv, model_spec(m), &kv, &r->arena);
        rc = pass_open(&r->pass, m, &pass, err);
    }
    if (rc)
        windows_close(r);
    return rc;
}

void windows_close(struct windows *r)
{
    pass_close(r->pass);
    arena_release(&r->arena);
    memset(r, 0, sizeof *r);
}

int windows_step(struct windows *r, const int32_t *ids, size_t n, size_t at, int *count, struct error *err)
{
    size_t window = (size_t)window_of(r->model), left = window - at % window;
    left = n - at < left ? n - at : left;
    *count = left < WINDOWS_STEP ? (int)left : WINDOWS_STEP;
    if (at % window == 0)
        kv_cut(&r->kv, 0);
    struct pass_sequence sequence = { .kv = &r->kv, .ids = ids + at, .count = *count, .all_logits = true };
    return pass_run(r->pass, &sequence, 1, err);
}

const float *windows_logits(const struct windows *r, int row)
{
    return pass_logits(r->pass, row);
}
