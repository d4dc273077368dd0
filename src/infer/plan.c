/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/plan.h"

#include <stdio.h>

void plan_make(struct plan *p, const struct model *m, const struct session_options *options,
    const struct plan_process *process)
{
    struct model_size size;
    model_measure(m, &size);
    *p = (struct plan) { .weights_mapped = size.mapped_bytes, .weights_copied = size.copied_bytes,
        .available = process->available, .context = options->context };
    if (process->resident > size.copied_bytes)
        p->process = process->resident - size.copied_bytes;
    session_measure(m, options, &p->kv, &p->scratch);
    p->scratch += process->reserved;
    p->total = p->process + p->weights_mapped + p->weights_copied + p->kv + p->scratch;
    if (p->total < process->peak)
        p->total = process->peak;
}

/* What the process and the copied weights take is taken already: `available` was asked for after that. */
bool plan_fits(const struct plan *p)
{
    return p->available == 0 || p->weights_mapped + p->kv + p->scratch <= p->available;
}

static bool fits_at(const struct model *m, struct session_options options, int context, uint64_t available)
{
    struct plan p;
    struct plan_process process = { .available = available };
    options.context = context;
    plan_make(&p, m, &options, &process);
    return plan_fits(&p);
}

int plan_context(const struct model *m, const struct session_options *options, int wanted, uint64_t available)
{
    int fits = 1, refused = wanted + 1;
    if (available == 0 || fits_at(m, *options, wanted, available))
        return wanted;
    while (refused - fits > 1) {
        int middle = fits + (refused - fits) / 2;
        if (fits_at(m, *options, middle, available))
            fits = middle;
        else
            refused = middle;
    }
    return fits;
}

static double mebibytes(uint64_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0);
}

/* A context worth having that fits, or where none does half of the one asked for, with what it takes. */
static void tell_context(char *text, size_t size, const struct model *m, const struct session_options *options,
    uint64_t available)
{
    struct session_options less = *options;
    struct plan p;
    less.context = plan_context(m, options, options->context, available);
    bool fits = fits_at(m, *options, less.context, available);
    if (!fits)
        less.context = options->context > 1 ? options->context / 2 : 1;
    plan_make(&p, m, &less, &(struct plan_process) { .available = available });
    snprintf(text, size, "a smaller context (--ctx %d needs %.1f MiB%s)", less.context,
        mebibytes(p.weights_mapped + p.kv + p.scratch), fits ? "" : ", still too much alone");
}

static void tell_kv(char *text, size_t size, const struct model *m, const struct session_options *options)
{
    const struct spec *spec = model_spec(m);
    struct session_options small = *options;
    struct kv_options check = { .format = &format_q8_0, .context = options->context, .tokens_max = 1 };
    uint64_t kv, kv_small, scratch;
    small.kv_format = kv_check(spec, &check, NULL) == 0 ? &format_q8_0 : &format_f16;
    session_measure(m, options, &kv, &scratch);
    session_measure(m, &small, &kv_small, &scratch);
    snprintf(text, size, "smaller keys and values (--kv %s saves %.1f MiB)", small.kv_format->name,
        kv > kv_small ? mebibytes(kv - kv_small) : 0.0);
}

/* The largest of the usual formats that is clearly smaller than what the weights are now. */
static void tell_weights(char *text, size_t size, const struct model *m)
{
    const struct format *const smaller[] = { &format_q8_0, &format_q4_0, &format_q2_k };
    struct model_size s;
    model_measure(m, &s);
    const double now = (double)(s.mapped_bytes + s.copied_bytes);
    for (size_t i = 0; i < sizeof smaller / sizeof *smaller; i++) {
        const struct format *f = smaller[i];
        double bytes = (double)s.parameters * f->block_bytes / f->block;
        if (bytes > 0.9 * now)
            continue;
        snprintf(text, size, "the same model in a smaller format (%s: weights of about %.1f MiB instead of %.1f MiB)",
            f->name, bytes / (1024.0 * 1024.0), now / (1024.0 * 1024.0));
        return;
    }
    snprintf(text, size, "a smaller model (this one's weights of %.1f MiB are in small formats already)",
        now / (1024.0 * 1024.0));
}

int plan_check(const struct plan *p, const struct model *m, const struct session_options *options, struct error *err)
{
    char context[128], kv[128], weights[160];
    if (plan_fits(p))
        return 0;
    tell_context(context, sizeof context, m, options, p->available);
    tell_kv(kv, sizeof kv, m, options);
    tell_weights(weights, sizeof weights, m);
    return error_set(err, ERROR_LIMIT,
        "the model does not fit: it needs %.1f MiB (weights %.1f, keys and values for %d tokens %.1f, scratch %.1f) "
        "and %.1f MiB is available; choose %s, or %s, or %s; --force goes on anyway",
        mebibytes(p->weights_mapped + p->kv + p->scratch), mebibytes(p->weights_mapped), p->context, mebibytes(p->kv),
        mebibytes(p->scratch), mebibytes(p->available), context, kv, weights);
}
