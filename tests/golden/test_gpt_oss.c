/* SPDX-License-Identifier: Apache-2.0 */
/* gpt-oss against OpenAI's torch model, transformers and float64, with experts in MXFP4, out of all the forms its files
 * have: Hugging Face's two tensors, the original checkpoint's, dequantized ones, GGUF. */
#include "case.h"
#include "compare.h"
#include "recorded.h"
#include "runner.h"

#include "support.h"

#include "file/safetensors.h"
#include "infer/trace.h"
#include "kernel/kernel.h"
#include "model/train_pass.h"
#include "tensor/block.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 128
#define CHUNK 256

/* A model's tensors as one of its forms has them. */
struct list {
    struct file_tensor tensors[LIST_MAX];
    char names[LIST_MAX][160];
    size_t n;
};

/* data is the list's from now on. */
static struct file_tensor *list_add(struct list *l, const char *name, const char *type, void *data, int dims,
    const int64_t *shape)
{
    struct file_tensor *t = &l->tensors[l->n];
    uint64_t values = 1;
    assert_true(l->n < LIST_MAX);
    snprintf(l->names[l->n], sizeof l->names[0], "%s", name);
    *t = (struct file_tensor) { .name = l->names[l->n++], .type_name = type, .dims = dims, .data = data };
    for (int d = 0; d < dims; d++)
        values *= (uint64_t)(t->shape[d] = shape[d]);
    t->bytes = values * (safetensors_bits(type) / 8);
    return t;
}

static void list_clear(struct list *l)
{
    while (l->n > 0)
        free((void *)l->tensors[--l->n].data);
}

static uint64_t hash_of(const unsigned char *bytes, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

static void check_hash(const struct golden_case *c, const char *name, const char *kind, const unsigned char *bytes,
    size_t n)
{
    char key[160], have[32];
    snprintf(key, sizeof key, "%s_%s", name, kind);
    snprintf(have, sizeof have, "%016" PRIx64, hash_of(bytes, n));
    assert_string_equal(have, json_text(json_object_get(c->json, "packed"), key, "(missing)"));
}

/* Two tensors of bytes, which must be those that the reference's own reader took. */
static void add_packed(struct list *l, const struct golden_case *c, const struct case_tensor *t, const char *name,
    char mark)
{
    float *turned = case_turned_new(t, 0, 1);
    size_t blocks = (size_t)t->count / 32;
    struct mxfp4_block *ggml = malloc(blocks * sizeof *ggml);
    uint8_t *q = malloc(16 * blocks), *scales = malloc(blocks);
    char full[160];
    assert_true(ggml && q && scales);
    format_mxfp4.encode(ggml, turned, NULL, t->count);
    for (size_t b = 0; b < blocks; b++) {
        scales[b] = ggml[b].e;
        for (int i = 0; i < 16; i++) {
            int k = 2 * i % 16, shift = i < 8 ? 0 : 4;
            q[16 * b + (size_t)i] = (uint8_t)((ggml[b].q[k] >> shift & 15) | (ggml[b].q[k + 1] >> shift & 15) << 4);
        }
    }
    check_hash(c, t->name, "blocks", q, 16 * blocks);
    check_hash(c, t->name, "scales", scales, blocks);
    const int64_t shape[] = { t->shape[0], t->shape[2], t->shape[1] / 32, 16 };
    snprintf(full, sizeof full, "%s%cblocks", name, mark);
    list_add(l, full, "U8", q, 4, shape);
    snprintf(full, sizeof full, "%s%cscales", name, mark);
    list_add(l, full, "U8", scales, 3, shape);
    free(ggml);
    free(turned);
}

static void make_hf(struct list *l, const struct golden_case *c)
{
    for (size_t i = 0; i < case_tensors(c); i++) {
        struct case_tensor t;
        case_tensor_make(&t, c, i);
        if (t.mxfp4) {
            add_packed(l, c, &t, t.name, '_');
            free(t.data);
        } else {
            list_add(l, t.name, "F32", t.data, t.dims, t.shape);
        }
    }
}

/* "model.layers.N.x" of Hugging Face becomes "block.N.y"; parts of a fused tensor follow each other in it. */
static const struct {
    const char *to, *from[3];
} originals[] = {
    { "attn.norm.scale", { "input_layernorm.weight" } },
    { "attn.qkv.weight", { "self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight" } },
    { "attn.qkv.bias", { "self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias" } },
    { "attn.out.weight", { "self_attn.o_proj.weight" } },
    { "attn.out.bias", { "self_attn.o_proj.bias" } },
    { "attn.sinks", { "self_attn.sinks" } },
    { "mlp.norm.scale", { "post_attention_layernorm.weight" } },
    { "mlp.gate.weight", { "mlp.router.weight" } },
    { "mlp.gate.bias", { "mlp.router.bias" } },
    { "mlp.mlp1_weight", { "mlp.experts.gate_up_proj" } },
    { "mlp.mlp1_bias", { "mlp.experts.gate_up_proj_bias" } },
    { "mlp.mlp2_weight", { "mlp.experts.down_proj" } },
    { "mlp.mlp2_bias", { "mlp.experts.down_proj_bias" } },
};

static void add_fused(struct list *l, const struct golden_case *c, const char *name, const char *const *from, int n,
    const char *prefix)
{
    struct case_tensor part, whole = { 0 };
    for (int i = 0; i < n && from[i]; i++) {
        char full[160];
        snprintf(full, sizeof full, "%s%s", prefix, from[i]);
        assert_true(case_tensor_find(&part, c, full));
        if (part.mxfp4) {
            add_packed(l, c, &part, name, '.');
            case_tensor_release(&part);
            return;
        }
        float *data = realloc(whole.data, (size_t)(whole.count + part.count) * sizeof *data);
        assert_non_null(data);
        memcpy(data + whole.count, part.data, (size_t)part.count * sizeof *data);
        int64_t rows = whole.shape[0] + part.shape[0], count = whole.count + part.count;
        free(part.data);
        whole = part;
        whole.data = data;
        whole.shape[0] = rows;
        whole.count = count;
    }
    list_add(l, name, "F32", whole.data, whole.dims, whole.shape);
}

static void make_original(struct list *l, const struct golden_case *c)
{
    static const char *const ends[][2] = { { "embedding.weight", "model.embed_tokens.weight" },
        { "norm.scale", "model.norm.weight" }, { "unembedding.weight", "lm_head.weight" } };
    for (size_t i = 0; i < 3; i++)
        add_fused(l, c, ends[i][0], &ends[i][1], 1, "");
    for (int n = 0; n < json_whole(c->config, "num_hidden_layers", 0); n++)
        for (size_t i = 0; i < sizeof originals / sizeof originals[0]; i++) {
            char name[64], prefix[64];
            snprintf(name, sizeof name, "block.%d.%s", n, originals[i].to);
            snprintf(prefix, sizeof prefix, "model.layers.%d.", n);
            add_fused(l, c, name, originals[i].from, 3, prefix);
        }
}

static const char *list_write(struct list *l, const json_t *config)
{
    const char *folder = test_folder();
    struct error err = { 0 };
    char *text = json_dumps(config, 0);
    assert_non_null(text);
    test_write(test_join(folder, "config.json"), text, strlen(text));
    free(text);
    if (safetensors_write(test_join(folder, "model.safetensors"), l->tensors, l->n, NULL, &err) != 0)
        fail_msg("%s", err.text);
    return folder;
}

static const char *write_form(const struct golden_case *c, int form)
{
    static struct list l; /* large for a stack */
    const char *path;
    l.n = 0;
    switch (form) {
    case 0: /* Hugging Face, dequantized */
        path = test_folder();
        case_write_folder(c, path);
        return path;
    case 1:
        path = test_join(test_folder(), "model.gguf");
        assert_null(case_write_gguf(c, path));
        return path;
    case 2: /* Hugging Face, packed */
        make_hf(&l, c);
        path = list_write(&l, c->config);
        break;
    default:
        make_original(&l, c);
        path = list_write(&l, json_object_get(c->json, "original_config"));
    }
    list_clear(&l);
    return path;
}
#define FORMS 4

static void assert_same(const struct golden_case *c, const float *have, const float *want, int64_t vocabulary,
    const char *what)
{
    for (int64_t i = 0; i < c->n_ids * vocabulary; i++)
        if (memcmp(&have[i], &want[i], sizeof *have) != 0)
            fail_msg("%s: logit %lld at position %lld is %.9g instead of %.9g", what, (long long)(i % vocabulary),
                (long long)(i / vocabulary), (double)have[i], (double)want[i]);
}

static float *run_form(struct runner *r, const struct golden_case *c, bool packed, const struct cut *cut)
{
    if (packed)
        return runner_logits_new(r, c->ids, c->n_ids, cut);
    struct runner_dots kept;
    runner_rounding_off(&kept);
    float *logits = runner_logits_new(r, c->ids, c->n_ids, cut);
    runner_rounding_on(&kept);
    return logits;
}

static void check_references(const struct runner *r, const struct golden_case *c, const float *logits)
{
    struct worst openai = { 0 }, transformers = { 0 }, exact = { 0 };
    const json_t *rows = json_object_get(c->json, "rows"), *rows_exact = json_object_get(c->json, "rows_exact");
    const json_t *rows_transformers = json_object_get(c->json, "rows_transformers");
    compare_rows(r, rows, rows_exact, logits, REFERENCE_FLOAT32, &openai);
    compare_rows(r, rows_transformers, rows_exact, logits, REFERENCE_FLOAT32, &transformers);
    compare_rows(r, rows_exact, NULL, logits, REFERENCE_FLOAT64, &exact);
    printf("%-18s worst: openai %.1f of %.1f units, transformers %.1f of %.1f, float64 %.1f of %.1f\n", c->name,
        openai.scaled, openai.allowed, transformers.scaled, transformers.allowed, exact.scaled, exact.allowed);
}

/* Weights in MXFP4 lie where the file has them: what is copied are the biases of gate and up. */
static void check_in_place(const struct runner *r)
{
    struct model_size size;
    const struct spec *s = r->spec;
    model_measure(r->model, &size);
    assert_int_equal(size.copied_bytes, (uint64_t)s->layers * (uint64_t)s->experts * 2 * (uint64_t)s->expert_ffn * 4);
    assert_int_equal(size.format_bytes[FORMAT_mxfp4],
        (uint64_t)s->layers * (uint64_t)s->experts * 3 * (uint64_t)s->expert_ffn * (uint64_t)s->dim / 32 * 17);
}

static void check_mxfp4(void **state)
{
    struct golden_case c;
    struct runner r;
    float *exact[FORMS], *packed[FORMS] = { NULL };
    int64_t vocabulary = 0;
    case_read(&c, *state);
    struct cut cut = { .format = &format_f32, .threads = 2, .chunk = CHUNK };
    for (int form = 0; form < FORMS; form++) {
        runner_open(&r, write_form(&c, form));
        vocabulary = r.spec->vocabulary;
        exact[form] = run_form(&r, &c, false, &cut);
        if (form == 0)
            check_references(&r, &c, exact[0]);
        else
            packed[form] = run_form(&r, &c, true, &cut);
        if (form >= 2)
            check_in_place(&r);
        runner_close(&r);
    }
    for (int form = 1; form < FORMS; form++) {
        assert_same(&c, exact[form], exact[0], vocabulary, "dequantized and decoded");
        assert_same(&c, packed[form], packed[1], vocabulary, "GGUF and two tensors");
    }
    double lost = compare_share(packed[1], exact[1], c.n_ids * vocabulary);
    printf("%-18s activations of 8 bits lose %.4f of the logits\n", c.name, lost);
    assert_true(lost > 0 && lost < 0.05);
    for (int form = 0; form < FORMS; form++) {
        free(exact[form]);
        free(packed[form]);
    }
    case_release(&c);
}

/* ---- training behind experts that stay packed ---- */

/* One pass over the case's text, experts frozen; the caller closes it. */
static struct train_pass *train(const struct runner *r, const struct golden_case *c, int threads, bool checkpoint,
    double *loss)
{
    bool frozen[N_ROLES] = { [ROLE_expert_gate] = true, [ROLE_expert_up] = true, [ROLE_expert_down] = true };
    struct train_options o = { .tokens_max = c->n_ids, .texts_max = 1, .logits_max = 16, .threads = threads,
        .checkpoint = checkpoint, .frozen = frozen };
    struct train_pass *p;
    struct error err = { 0 };
    int32_t *targets = malloc((size_t)c->n_ids * sizeof *targets);
    assert_non_null(targets);
    for (int i = 0; i < c->n_ids; i++)
        targets[i] = i + 1 < c->n_ids ? c->ids[i + 1] : TRAIN_SKIP;
    const struct train_text text = { c->ids, targets, c->n_ids };
    if (train_pass_open(&p, r->model, &o, &err) != 0 || train_pass_run(p, &text, 1, 0, loss, &err) != 0)
        fail_msg("%s", err.text);
    free(targets);
    return p;
}

/* How far two passes' gradients are apart: root mean square over all of them, as a share. 0: the same bits. */
static double gradients_apart(const struct runner *r, const struct train_pass *a, const struct train_pass *b)
{
    double lost = 0, whole = 0;
    for (int role = 0; role < N_ROLES; role++)
        for (int layer = 0; layer < (role < N_LAYER_ROLES ? r->spec->layers : 1); layer++) {
            const struct weight *w = train_pass_weight(a, role, layer), *v = train_pass_weight(b, role, layer);
            assert_true(!w->gradient == !v->gradient);
            assert_true(!w->experts || !w->gradient);
            for (int64_t i = 0; w->gradient && i < w->tensor.rows * w->tensor.cols; i++) {
                lost += pow((double)w->gradient[i] - (double)v->gradient[i], 2);
                whole += pow((double)w->gradient[i], 2);
            }
        }
    assert_true(whole > 0);
    return sqrt(lost / whole);
}

/* The same gradients as behind experts in float32, whatever form the file has; with activations rounded to 8 bits on
 * the way to them, gradients near those, and the same ones for any threads, with checkpoints and without. */
static void training_through_mxfp4(void **state)
{
    (void)state;
    struct golden_case c;
    struct runner plain, r;
    double want, loss;
    case_read(&c, test_repo("tests/golden/data/gpt_oss/mxfp4.json"));
    runner_open(&plain, write_form(&c, 0));
    struct train_pass *exact = train(&plain, &c, 1, false, &want);
    for (int form = 1; form < FORMS; form++) {
        runner_open(&r, write_form(&c, form));
        struct runner_dots kept;
        runner_rounding_off(&kept);
        struct train_pass *p = train(&r, &c, 2, form == 2, &loss);
        runner_rounding_on(&kept);
        assert_true(loss == want && gradients_apart(&r, exact, p) == 0);
        train_pass_close(p);
        double rounded, again;
        struct train_pass *packed = train(&r, &c, 1, false, &rounded), *other = train(&r, &c, 3, true, &again);
        double lost = gradients_apart(&r, exact, packed);
        assert_true(rounded != want && fabs(rounded - want) < 0.01 * want && lost > 0 && lost < 0.1);
        assert_true(again == rounded && gradients_apart(&r, packed, other) == 0);
        printf("%-18s form %d: activations of 8 bits lose %.4f of the gradients\n", c.name, form, lost);
        train_pass_close(packed);
        train_pass_close(other);
        runner_close(&r);
    }
    train_pass_close(exact);
    runner_close(&plain);
    case_release(&c);
}

static void refused(struct list *l, const struct golden_case *c, int code, const char *says)
{
    struct source *source;
    struct model *model;
    struct error err = { 0 };
    assert_int_equal(source_open(&source, list_write(l, c->config), NULL, NULL, &err), 0);
    assert_int_equal(model_open(&model, source, NULL, &err), code);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    source_close(source);
    list_clear(l);
}

static struct file_tensor *list_find(struct list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->names[i], name) == 0)
            return &l->tensors[i];
    fail_msg("no tensor \"%s\"", name);
    return NULL;
}

/* Scales that are no numbers, blocks that are too few, too many or of another kind. */
static void damaged_mxfp4_is_refused(void **state)
{
    static struct list l;
    static const char down[] = "model.layers.1.mlp.experts.down_proj_blocks";
    static const char gate[] = "model.layers.0.mlp.experts.gate_up_proj_scales";
    struct golden_case c;
    struct file_tensor *t;
    case_read(&c, *state);
    make_hf(&l, &c);
    ((unsigned char *)list_find(&l, gate)->data)[77] = 255;
    refused(&l, &c, ERROR_FORMAT, "gate_up_proj_scales\" has 255 (NaN) for the scale of block 77");
    make_hf(&l, &c);
    t = list_find(&l, down);
    t->bytes -= t->bytes / (uint64_t)t->shape[0];
    t->shape[0]--;
    refused(&l, &c, ERROR_FORMAT, "down_proj_blocks\" has shape (4, 64, 3, 16), expected (5, 64, 3, 16)");
    make_hf(&l, &c);
    t = list_find(&l, gate);
    t->bytes /= 2;
    t->shape[2] /= 2;
    refused(&l, &c, ERROR_FORMAT, "gate_up_proj_scales\" has shape (5, 192, 1), expected (5, 192, 2)");
    make_hf(&l, &c);
    list_find(&l, down)->type_name = "I8";
    refused(&l, &c, ERROR_UNSUPPORTED, "down_proj_blocks\" is stored as I8, expected U8");
    make_hf(&l, &c);
    t = list_find(&l, gate);
    snprintf((char *)t->name, sizeof l.names[0], "model.layers.0.mlp.experts.gate_up_proj_other");
    refused(&l, &c, ERROR_FORMAT, "gate_up_proj_scales\" is missing");
    make_hf(&l, &c);
    json_object_set_new(json_object_get(c.json, "config"), "intermediate_size", json_integer(100));
    refused(&l, &c, ERROR_FORMAT, "expected");
    case_release(&c);
}

struct traced {
    const struct golden_case *c;
    double worst[3]; /* of the references */
    int seen;
};

static const struct {
    const char *name;
    enum reference kind;
} references[3] = { { "openai", REFERENCE_FLOAT32 }, { "transformers", REFERENCE_FLOAT32 },
    { "exact", REFERENCE_FLOAT64 } };

static void check_state(struct traced *t, const json_t *entry, int which, int layer, const float *x, int width)
{
    const json_t *want = json_object_get(entry, references[which].name), *sums = json_object_get(entry, "sums");
    int position = (int)json_whole(entry, "position", -1);
    double bound = compare_bound(layer + 1, position, references[which].kind);
    assert_int_equal(json_array_size(want), width);
    for (int k = 0; k < width; k++) {
        double have = (double)x[k], expected = json_number_value(json_array_get(want, (size_t)k));
        double units = fabs(have - expected) / (0x1p-24 * json_number_value(json_array_get(sums, (size_t)k)));
        if (!(units <= bound))
            fail_msg("layer %d is the first to differ from %s: value %d at position %d is %.9g, expected %.9g: %.1f "
                "units, %.1f allowed", layer, references[which].name, k, position, have, expected, units, bound);
        t->worst[which] = fmax(t->worst[which], units);
    }
}

/* The residual stream behind each layer: a sum whose terms' sizes the reference added up beside it. */
static void trace(void *context, int layer, float *x, int tokens, int width)
{
    struct traced *t = context;
    const json_t *entry;
    size_t i;
    assert_int_equal(tokens, t->c->n_ids);
    json_array_foreach(json_object_get(t->c->json, "layers"), i, entry)
    {
        if (json_whole(entry, "layer", -1) != layer)
            continue;
        for (int which = 0; which < 3; which++)
            check_state(t, entry, which, layer, x + json_whole(entry, "position", -1) * width, width);
        t->seen++;
    }
}

static void run_traced(const struct runner *r, struct traced *t)
{
    int n = t->c->n_ids;
    struct kv_options o = { .format = &format_f32, .context = n, .tokens_max = n };
    struct pass_options options = { .tokens_max = n, .logits_max = 1, .context_max = n, .threads = 2, .trace = trace,
        .trace_context = t };
    struct arena arena = { 0 };
    struct kv kv;
    struct pass *p;
    kv_layout(&kv, r->spec, &o, &arena);
    assert_int_equal(arena_reserve(&arena, NULL), 0);
    kv_layout(&kv, r->spec, &o, &arena);
    assert_int_equal(pass_open(&p, r->model, &options, NULL), 0);
    struct pass_sequence q = { .kv = &kv, .ids = t->c->ids, .count = n };
    assert_int_equal(pass_run(p, &q, 1, NULL), 0);
    pass_close(p);
    arena_release(&arena);
}

/* Float32 weights as they are; MXFP4 packed, decoded and multiplied as the references do. */
static void check_layers(void **state)
{
    struct golden_case c;
    struct runner r;
    case_read(&c, *state);
    struct traced t = { .c = &c };
    runner_open(&r, write_form(&c, json_object_get(c.json, "packed") ? 2 : 0));
    struct runner_dots kept;
    runner_rounding_off(&kept);
    run_traced(&r, &t);
    runner_rounding_on(&kept);
    assert_int_equal(t.seen, 2 * r.spec->layers);
    printf("%-18s worst value behind a layer: openai %.1f units, transformers %.1f, float64 %.1f\n", c.name,
        t.worst[0], t.worst[1], t.worst[2]);
    runner_close(&r);
    case_release(&c);
}

/* ---- packed products against a reference that multiplied in float32 ---- */

static void packed_layers_agree_within_8_bits(void **state)
{
    struct golden_case c;
    struct runner r;
    struct recorded run;
    struct buffer names = { 0 };
    case_read(&c, *state);
    runner_open(&r, write_form(&c, 0));
    assert_true(trace_rounding(r.model, NULL) == 0);
    recorded_make(&run, &r, &c);
    runner_close(&r);
    runner_open(&r, write_form(&c, 2));
    assert_true(trace_rounding(r.model, &names) == sqrt(32) / 127);
    assert_string_equal(names.data, "mxfp4");
    recorded_compare(&run, &r, 1.2f);
    runner_close(&r);
    buffer_release(&names);
    recorded_release(&run);
    case_release(&c);
}

int main(void)
{
    static char paths[2 * CASES_MAX][CASE_PATH_MAX];
    static struct CMUnitTest tests[4 * CASES_MAX + 2];
    size_t packed = (size_t)case_list(paths, CASES_MAX, "tests/golden/data/gpt_oss", "mxfp4"), n = 0;
    size_t all = packed + (size_t)case_list(paths + packed, CASES_MAX, "tests/golden/data/models", "gpt_oss");
    for (size_t i = 0; i < all; i++) {
        const char *name = strrchr(paths[i], '/') + 1;
        if (i < packed)
            tests[n++] = (struct CMUnitTest) { .name = name, .test_func = check_mxfp4, .initial_state = paths[i] };
        tests[n++] = (struct CMUnitTest) { .name = name, .test_func = check_layers, .initial_state = paths[i] };
    }
    for (size_t i = 0; i < packed; i++)
        if (strcmp(strrchr(paths[i], '/'), "/mxfp4_long.json") != 0)
            tests[n++] = (struct CMUnitTest) { .name = "8 bits", .test_func = packed_layers_agree_within_8_bits,
                .initial_state = paths[i] };
    for (size_t i = 0; i < packed; i++)
        if (strcmp(strrchr(paths[i], '/'), "/mxfp4.json") == 0)
            tests[n++] = (struct CMUnitTest) { .name = "damaged", .test_func = damaged_mxfp4_is_refused,
                .initial_state = paths[i] };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(training_through_mxfp4);
    return packed >= 3 && all > packed ? _cmocka_run_group_tests("gpt_oss", tests, n, NULL, NULL) : 1;
}
