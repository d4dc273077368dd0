/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over caches of every format against a plain softmax in double; and: however a prompt is cut, whatever
 * else is in the batch, on any number of threads, the same bits. */
#include "backend_case.h"

struct setting {
    const struct format *format;
    int heads, kv_heads, head_dim;
    int window;
    float softcap;
    bool sinks;
    int tokens;
};

/* A sequence: its values, its cache, and the output of all its tokens. */
struct sequence {
    const struct setting *s;
    float *q, *k, *v, *out;
    struct case_weight sinks;
    struct kv_layer layers[2]; /* the second is used: the first catches a wrong index */
};

static int q_width(const struct setting *s)
{
    return s->heads * s->head_dim;
}

static int kv_width(const struct setting *s)
{
    return s->kv_heads * s->head_dim;
}

static void sequence_open(struct sequence *q, const struct setting *s, uint64_t seed)
{
    struct random r;
    random_seed(&r, seed);
    memset(q, 0, sizeof *q);
    q->s = s;
    q->q = random_new(&r, (size_t)(s->tokens * q_width(s)), 2);
    q->k = random_new(&r, (size_t)(s->tokens * kv_width(s)), 1);
    q->v = random_new(&r, (size_t)(s->tokens * kv_width(s)), 1);
    q->out = floats_new((size_t)(s->tokens * q_width(s)));
    weight_open(&q->sinks, &r, &format_bf16, 1, s->heads, 2);
}

static void cache_close(struct sequence *q)
{
    free(q->layers[1].k);
    free(q->layers[1].v);
}

/* An empty cache for passes of at most tokens_max; what was in the memory before must not matter. */
static void cache_open(struct sequence *q, int tokens_max)
{
    const struct setting *s = q->s;
    int capacity = s->window && s->window + tokens_max < s->tokens ? s->window + tokens_max : s->tokens;
    size_t bytes = (size_t)(s->kv_heads * capacity) * format_row_bytes(s->format, s->head_dim);
    cache_close(q);
    q->layers[1] = (struct kv_layer) { .format = s->format, .capacity = capacity, .k = malloc(bytes),
        .v = malloc(bytes) };
    memset(q->layers[1].k, 0xff, bytes); /* NaN */
    memset(q->layers[1].v, 0xff, bytes);
}

static void sequence_close(struct sequence *q)
{
    cache_close(q);
    weight_close(&q->sinks);
    free(q->q);
    free(q->k);
    free(q->v);
    free(q->out);
}

/* One pass over tokens [from[i], from[i] + count[i]) of n sequences of one setting. */
static void run_pass(struct sequence *const *sequences, const int *from, const int *count, int n, int threads)
{
    const struct setting *s = sequences[0]->s;
    struct span spans[4];
    int tokens = 0;
    for (int i = 0; i < n; i++) {
        spans[i] = (struct span) { tokens, count[i], from[i], sequences[i]->layers };
        tokens += count[i];
    }
    struct flow_shape shape = { .tokens_max = tokens, .threads = threads, .width_max = q_width(s), .dim = q_width(s),
        .heads = s->heads, .kv_heads = s->kv_heads, .head_dim = s->head_dim, .context_max = s->tokens };
    struct attention_shape attend = { .layer = 1, .heads = s->heads, .kv_heads = s->kv_heads,
        .head_dim = s->head_dim, .scale = 1 / sqrtf((float)s->head_dim), .softcap = s->softcap, .window = s->window,
        .sinks = s->sinks ? &sequences[0]->sinks.weight : NULL };
    struct case_flow f;
    flow_open(&f, &shape);
    f.flow.spans = spans;
    f.flow.n_spans = n;
    struct value q = { .data = floats_new((size_t)(tokens * q_width(s))), .width = q_width(s) }, out = q;
    struct value k = { .data = floats_new((size_t)(tokens * kv_width(s))), .width = kv_width(s) }, v = k;
    v.data = floats_new((size_t)(tokens * kv_width(s)));
    out.data = floats_new((size_t)(tokens * q_width(s)));
    for (int i = 0; i < n; i++) {
        size_t wide = (size_t)q_width(s), narrow = (size_t)kv_width(s), at = (size_t)spans[i].first;
        size_t rows = (size_t)count[i], start = (size_t)from[i];
        memcpy(q.data + at * wide, sequences[i]->q + start * wide, rows * wide * sizeof(float));
        memcpy(k.data + at * narrow, sequences[i]->k + start * narrow, rows * narrow * sizeof(float));
        memcpy(v.data + at * narrow, sequences[i]->v + start * narrow, rows * narrow * sizeof(float));
    }
    kv_store(&f.flow, &k, &v, &attend);
    attention(&f.flow, &out, &q, &attend);
    for (int i = 0; i < n; i++)
        memcpy(sequences[i]->out + (size_t)from[i] * (size_t)q_width(s),
            out.data + (size_t)spans[i].first * (size_t)q_width(s),
            (size_t)count[i] * (size_t)q_width(s) * sizeof(float));
    free(q.data);
    free(k.data);
    free(v.data);
    free(out.data);
    flow_close(&f);
}

/* The whole sequence in passes of `step` tokens, the first of them `first` long. */
static void run_cut(struct sequence *q, int first, int step, int threads)
{
    cache_open(q, first > step ? first : step);
    for (int at = 0, count = first; at < q->s->tokens; at += count, count = step) {
        count = count < q->s->tokens - at ? count : q->s->tokens - at;
        run_pass(&q, &at, &count, 1, threads);
    }
}

/* Rows as the cache keeps them. */
static float *as_kept(const struct setting *s, const float *x)
{
    int64_t n = (int64_t)s->tokens * kv_width(s);
    unsigned char *encoded = malloc(format_row_bytes(s->format, n));
    float *kept = floats_new((size_t)n);
    s->format->encode(encoded, x, NULL, n);
    s->format->decode(kept, encoded, n);
    free(encoded);
    return kept;
}

static void check_query(const struct sequence *q, const float *k, const float *v, int token, int head)
{
    const struct setting *s = q->s;
    int dim = s->head_dim, key_head = head / (s->heads / s->kv_heads);
    int first = s->window && token >= s->window ? token - s->window + 1 : 0;
    const float *query = q->q + (size_t)token * (size_t)q_width(s) + head * dim;
    double *scores = malloc((size_t)(token + 1) * sizeof *scores), worst = 0, sum = 0;
    double max = s->sinks ? (double)q->sinks.values[head] : -INFINITY;
    for (int p = first; p <= token; p++) {
        const float *key = k + (size_t)p * (size_t)kv_width(s) + key_head * dim;
        double dot = 0, size = 0;
        for (int i = 0; i < dim; i++) {
            dot += (double)query[i] * (double)key[i] / sqrt(dim);
            size += fabs((double)query[i] * (double)key[i]) / sqrt(dim);
        }
        scores[p] = s->softcap != 0 ? (double)s->softcap * tanh(dot / (double)s->softcap) : dot;
        worst = size > worst ? size : worst;
        max = scores[p] > max ? scores[p] : max;
    }
    if (s->sinks)
        sum = exp((double)q->sinks.values[head] - max);
    for (int p = first; p <= token; p++)
        sum += scores[p] = exp(scores[p] - max);
    for (int i = 0; i < dim; i++) {
        double y = 0, size = 0;
        for (int p = first; p <= token; p++) {
            double term = scores[p] / sum * (double)v[(size_t)p * (size_t)kv_width(s) + (size_t)(key_head * dim + i)];
            y += term;
            size += fabs(term);
        }
        /* A score's rounding is a relative error of its weight; sums of n terms lose about sqrt(n) roundings. */
        assert_near(q->out[(size_t)token * (size_t)q_width(s) + (size_t)(head * dim + i)], y,
            size * (sqrt(dim) * worst + 2 * sqrt(token + 1) + 16), (size_t)i);
    }
    free(scores);
}

static void check_against_double(const struct sequence *q)
{
    const struct setting *s = q->s;
    float *k = as_kept(s, q->k), *v = as_kept(s, q->v);
    int step = s->tokens > 200 ? 37 : 1;
    for (int t = 0; t < s->tokens; t += step)
        for (int h = 0; h < s->heads; h++)
            check_query(q, k, v, t, h);
    for (int h = 0; h < s->heads; h++)
        check_query(q, k, v, s->tokens - 1, h);
    free(k);
    free(v);
}

static void check_setting(const struct setting *s)
{
    struct sequence q;
    size_t n = (size_t)s->tokens * (size_t)q_width(s);
    sequence_open(&q, s, 7);
    run_cut(&q, s->tokens, 1, 1);
    check_against_double(&q);
    float *whole = floats_new(n);
    memcpy(whole, q.out, n * sizeof *whole);
    for (size_t i = 1; i < CASE_THREADS; i++) {
        run_cut(&q, s->tokens, 1, case_threads[i]);
        assert_same_bits(q.out, whole, n);
    }
    const int cuts[][2] = { { 1, 1 }, { s->tokens - 1, 1 }, { 13, 64 }, { 64, 100 }, { 3, 5 }, { 66, 7 } };
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        if (s->tokens > 200 && cuts[i][1] < 64 && cuts[i][0] < 64)
            continue; /* hundreds of passes say no more than the short settings did */
        memset(q.out, 0x7f, n * sizeof *whole);
        run_cut(&q, cuts[i][0], cuts[i][1], cuts[i][1] < 64 ? 1 : 2);
        assert_same_bits(q.out, whole, n);
    }
    free(whole);
    sequence_close(&q);
}

static void formats_and_groups(void **state)
{
    (void)state;
    const struct format *const kinds[] = { &format_f32, &format_f16, &format_bf16, &format_q8_0 };
    const int heads[][2] = { { 1, 1 }, { 6, 2 }, { 5, 5 }, { 40, 1 } };
    for (size_t i = 0; i < 4; i++)
        for (size_t h = 0; h < 4; h++) {
            struct setting s = { kinds[i], heads[h][0], heads[h][1], kinds[i]->block == 1 ? 20 + (int)h : 32, 0, 0,
                (i + h) % 2, 131 };
            check_setting(&s);
        }
}

static void windows_sinks_softcaps(void **state)
{
    (void)state;
    const struct format *const kinds[] = { &format_f32, &format_f16, &format_bf16, &format_q8_0 };
    const int windows[] = { 1, 2, 5, 63, 64, 65, 100, 131, 500 };
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        for (int options = 0; options < 4; options++) {
            struct setting s = { kinds[(i + (size_t)options) % 4], 6, 2, 32, windows[i], options & 1 ? 5.0f : 0,
                options & 2, 150 };
            check_setting(&s);
        }
}

/* Longer than a segment: few tokens run their segments on different threads, many do not. */
static void long_sequences(void **state)
{
    (void)state;
    struct setting settings[] = {
        { &format_f16, 4, 2, 32, 0, 0, false, 1200 },
        { &format_q8_0, 6, 2, 32, 0, 20, true, 1100 },
        { &format_bf16, 3, 1, 48, 600, 0, true, 1300 },
        { &format_f32, 2, 1, 16, 513, 0, false, 1100 },
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        check_setting(&settings[i]);
}

/* Three sequences at different places, together and alone. */
static void batches(void **state)
{
    (void)state;
    struct setting s = { &format_f16, 6, 3, 32, 70, 0, true, 640 };
    struct sequence a, b, c, *all[] = { &a, &b, &c };
    size_t n = (size_t)s.tokens * (size_t)q_width(&s);
    for (int i = 0; i < 3; i++) {
        sequence_open(all[i], &s, (uint64_t)i); /* different seeds; the sinks of the first are used for all */
        run_cut(all[i], s.tokens, 1, 1);
    }
    float *alone[3];
    for (int i = 0; i < 3; i++) {
        weight_close(&all[i]->sinks);
        struct random r;
        random_seed(&r, 99);
        weight_open(&all[i]->sinks, &r, &format_f32, 1, s.heads, 1);
        run_cut(all[i], s.tokens, 1, 1);
        alone[i] = floats_new(n);
        memcpy(alone[i], all[i]->out, n * sizeof(float));
    }
    const int start[3] = { 600, 65, 0 };
    for (size_t t = 0; t < CASE_THREADS; t++) {
        for (int i = 0; i < 3; i++) {
            const int zero = 0;
            cache_open(all[i], s.tokens);
            if (start[i])
                run_pass(&all[i], &zero, &start[i], 1, 2);
        }
        int from[3] = { 600, 65, 0 }, count[3] = { 1, 3, 30 };
        for (int round = 0; round < 4; round++) {
            run_pass(all, from, count, 3, case_threads[t]);
            for (int i = 0; i < 3; i++) {
                assert_same_bits(all[i]->out + from[i] * q_width(&s), alone[i] + from[i] * q_width(&s),
                    (size_t)(count[i] * q_width(&s)));
                from[i] += count[i];
            }
        }
    }
    for (int i = 0; i < 3; i++) {
        free(alone[i]);
        sequence_close(all[i]);
    }
}

/* A later token's infinities and NaN stay out of the earlier ones' sums. */
static void poison_stays_in_the_future(void **state)
{
    (void)state;
    struct setting s = { &format_f32, 2, 1, 8, 0, 0, false, 20 };
    struct sequence q;
    sequence_open(&q, &s, 3);
    for (int i = 0; i < kv_width(&s); i++) {
        q.k[10 * kv_width(&s) + i] = i % 2 ? NAN : INFINITY;
        q.v[10 * kv_width(&s) + i] = NAN;
    }
    run_cut(&q, s.tokens, 1, 2);
    for (int i = 0; i < 10 * q_width(&s); i++)
        assert_true(isfinite(q.out[i]));
    assert_true(isnan(q.out[10 * q_width(&s)]));
    sequence_close(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_groups),
        cmocka_unit_test(windows_sinks_softcaps),
        cmocka_unit_test(long_sequences),
        cmocka_unit_test(batches),
        cmocka_unit_test(poison_stays_in_the_future),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
