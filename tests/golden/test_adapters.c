/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters against PEFT: folders it writes are opened here and give its logits and its gradients; what is written here
 * holds the same tensors bit for bit; a base in GGUF's order of heads changes nothing. */
#include "case.h"
#include "compare.h"
#include "gradient_case.h"
#include "runner.h"

#include "support.h"

#include "base/filemap.h"
#include "file/safetensors.h"
#include "file/table.h"
#include "model/adapter.h"
#include "model/train_pass.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char paths[CASES_MAX][CASE_PATH_MAX];
static int n_paths;

struct adapted {
    struct gradients golden;
    struct golden_case tensors, base; /* tensors: of the adapter */
    char name[64], base_folder[CASE_PATH_MAX], folder[CASE_PATH_MAX];
    struct runner r;
    struct adapter *adapter;
};

/* A path nothing is at; made: a folder is. Lives until the next call of 8 (test_join). */
static const char *new_path(const char *name, bool made)
{
    static const char *root;
    static int number;
    char own[CASE_PATH_MAX];
    if (!root)
        root = test_folder();
    snprintf(own, sizeof own, "%d-%s", number++, name);
    const char *path = test_join(root, own);
    assert_true(!made || mkdir(path, 0777) == 0);
    return path;
}

static void write_adapter(const struct golden_case *c, const char *folder)
{
    size_t n = case_tensors(c);
    struct case_tensor *made = calloc(n, sizeof *made);
    struct file_tensor *list = calloc(n, sizeof *list);
    struct error err = { 0 };
    char *config = json_dumps(json_object_get(c->json, "config"), 0);
    assert_true(made && list && config);
    for (size_t i = 0; i < n; i++) {
        case_tensor_make(&made[i], c, i);
        list[i] = (struct file_tensor) { .name = made[i].name, .type_name = "F32", .dims = made[i].dims,
            .data = made[i].data, .bytes = (uint64_t)made[i].count * sizeof(float) };
        memcpy(list[i].shape, made[i].shape, sizeof made[i].shape);
    }
    if (safetensors_write(test_join(folder, "adapter_model.safetensors"), list, n, NULL, &err) != 0)
        fail_msg("%s", err.text);
    test_write(test_join(folder, "adapter_config.json"), config, strlen(config));
    for (size_t i = 0; i < n; i++)
        case_tensor_release(&made[i]);
    free(made);
    free(list);
    free(config);
}

static void open_adapter(struct adapted *t)
{
    struct error err = { 0 };
    if (adapter_open(&t->adapter, t->r.model, t->folder, &err) != 0)
        fail_msg("%s: %s", t->name, err.text);
}

static void adapted_open(struct adapted *t, const char *path)
{
    char base[CASE_PATH_MAX];
    const char *name = strrchr(path, '/') + 1;
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%.*s", (int)(strlen(name) - strlen(".json")), name);
    gradients_read(&t->golden, "adapters", t->name);
    t->tensors.json = t->golden.json;
    snprintf(base, sizeof base, "tests/golden/data/models/%s.json", json_text(t->golden.json, "base", "?"));
    case_read(&t->base, test_repo(base));
    snprintf(t->base_folder, sizeof t->base_folder, "%s", new_path("base", true));
    snprintf(t->folder, sizeof t->folder, "%s", new_path("adapter", true));
    case_write_folder(&t->base, t->base_folder);
    write_adapter(&t->tensors, t->folder);
    runner_open(&t->r, t->base_folder);
    open_adapter(t);
}

static void adapted_close(struct adapted *t)
{
    adapter_close(t->adapter);
    runner_close(&t->r);
    case_release(&t->base);
    json_decref(t->golden.json);
}

/* ---- logits ---- */

static void attach(struct adapted *t, double scale)
{
    struct error err = { 0 };
    if (adapter_attach(t->adapter, t->r.model, scale, 2, &err) != 0)
        fail_msg("%s: %s", t->name, err.text);
}

static void check_logits(struct adapted *t, struct worst *worst)
{
    const int n = t->base.n_ids;
    const size_t bytes = (size_t)n * (size_t)t->r.spec->vocabulary * sizeof(float);
    const struct cut cuts[] = { { &format_f32, 1, n, 0 }, { &format_f32, 3, n, 0 }, { &format_f32, 2, 1, 0 },
        { &format_f32, 2, 0, 7 } };
    float *plain = runner_logits_new(&t->r, t->base.ids, n, &cuts[0]), *first = NULL;
    attach(t, 1);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        float *logits = runner_logits_new(&t->r, t->base.ids, n, &cuts[i]);
        if (first) /* the same bits however it is cut */
            assert_memory_equal(logits, first, bytes);
        if (first)
            free(logits);
        else
            first = logits;
    }
    compare_rows(&t->r, json_object_get(t->golden.json, "rows"), json_object_get(t->golden.json, "rows_exact"), first,
        REFERENCE_FLOAT32, worst);
    assert_memory_not_equal(first, plain, bytes);
    adapter_close(t->adapter); /* and it is as if it had never been there */
    free(first);
    first = runner_logits_new(&t->r, t->base.ids, n, &cuts[0]);
    assert_memory_equal(first, plain, bytes);
    open_adapter(t);
    free(first);
    free(plain);
}

static void logits_are_pefts(void **state)
{
    (void)state;
    for (int i = 0; i < n_paths; i++) {
        struct adapted t;
        struct worst worst = { 0 };
        adapted_open(&t, paths[i]);
        check_logits(&t, &worst);
        printf("%s: worst logit %.1f of %.1f units\n", t.name, worst.scaled, worst.allowed);
        adapted_close(&t);
    }
}

/* GGUF orders the outputs of q and k of some families otherwise. */
static void bases_in_gguf(void **state)
{
    (void)state;
    int some = 0;
    for (int i = 0; i < n_paths; i++) {
        struct adapted t;
        struct worst worst = { 0 };
        adapted_open(&t, paths[i]);
        char path[CASE_PATH_MAX];
        snprintf(path, sizeof path, "%s", new_path("base.gguf", false));
        if (!case_write_gguf(&t.base, path)) {
            adapter_close(t.adapter);
            runner_close(&t.r);
            runner_open(&t.r, path);
            open_adapter(&t);
            attach(&t, 1);
            const struct cut whole = { &format_f32, 1, t.base.n_ids, 0 };
            float *logits = runner_logits_new(&t.r, t.base.ids, t.base.n_ids, &whole);
            compare_rows(&t.r, json_object_get(t.golden.json, "rows"), json_object_get(t.golden.json, "rows_exact"),
                logits, REFERENCE_FLOAT32, &worst);
            free(logits);
            some++;
        }
        adapted_close(&t);
    }
    assert_true(some >= 3);
}

/* Scales add up: half of an adapter twice is the adapter. */
static void several_at_once(void **state)
{
    (void)state;
    struct adapted t;
    adapted_open(&t, test_repo("tests/golden/data/adapters/lora.json"));
    const struct cut whole = { &format_f32, 1, t.base.n_ids, 0 };
    const int64_t n = t.base.n_ids * t.r.spec->vocabulary;
    attach(&t, 1);
    float *once = runner_logits_new(&t.r, t.base.ids, t.base.n_ids, &whole);
    adapter_close(t.adapter);
    float *none = runner_logits_new(&t.r, t.base.ids, t.base.n_ids, &whole);
    open_adapter(&t);
    struct adapter *first = t.adapter;
    attach(&t, 0.5);
    open_adapter(&t);
    attach(&t, 0.5);
    float *twice = runner_logits_new(&t.r, t.base.ids, t.base.n_ids, &whole);
    assert_true(compare_share(twice, once, n) < 1e-5 && compare_share(none, once, n) > 1e-3);
    adapter_close(first);
    adapter_close(t.adapter);
    open_adapter(&t);
    attach(&t, 0);
    float *zero = runner_logits_new(&t.r, t.base.ids, t.base.n_ids, &whole);
    assert_true(compare_share(zero, none, n) < 1e-9);
    free(once);
    free(twice);
    free(none);
    free(zero);
    adapted_close(&t);
}

/* ---- folders ---- */

struct tensors {
    struct filemap map;
    struct table table;
};

static void tensors_open(struct tensors *t, const char *folder)
{
    struct error err = { 0 };
    memset(t, 0, sizeof *t);
    if (filemap_open(&t->map, test_join(folder, "adapter_model.safetensors"), &err) != 0
        || safetensors_read(&t->table, t->map.data, t->map.size, folder, &err) != 0)
        fail_msg("%s", err.text);
}

static void tensors_close(struct tensors *t)
{
    table_release(&t->table);
    filemap_close(&t->map);
}

static void save(const struct adapted *t, char out[CASE_PATH_MAX])
{
    struct error err = { 0 };
    snprintf(out, CASE_PATH_MAX, "%s", new_path("adapter", false));
    if (adapter_save(t->adapter, out, t->base_folder, &err) != 0)
        fail_msg("%s: %s", t->name, err.text);
}

static void folders_hold_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < n_paths; i++) {
        struct adapted t;
        struct tensors before, after;
        char out[CASE_PATH_MAX];
        adapted_open(&t, paths[i]);
        save(&t, out);
        tensors_open(&before, t.folder);
        tensors_open(&after, out);
        assert_int_equal(before.table.count, after.table.count);
        for (size_t k = 0; k < before.table.count; k++) {
            const struct file_tensor *a = &before.table.at[k], *b = table_find(&after.table, a->name);
            if (!b || a->dims != b->dims || a->bytes != b->bytes || memcmp(a->data, b->data, a->bytes) != 0)
                fail_msg("%s: %s is not what it was", t.name, a->name);
            assert_memory_equal(a->shape, b->shape, sizeof a->shape[0] * (size_t)a->dims);
        }
        tensors_close(&after);
        adapter_close(t.adapter); /* with the config of ours */
        snprintf(t.folder, sizeof t.folder, "%s", out);
        open_adapter(&t);
        struct worst worst = { 0 };
        check_logits(&t, &worst);
        tensors_close(&before);
        adapted_close(&t);
    }
}

/* ---- gradients ---- */

static double train(struct train_pass *p, const struct adapted *t)
{
    struct error err = { 0 };
    double loss;
    if (train_pass_run(p, t->golden.texts, GRADIENT_TEXTS, 0, &loss, &err) != 0)
        fail_msg("%s: %s", t->name, err.text);
    return loss;
}

static struct train_pass *open_pass(const struct adapted *t, const struct train_options *o)
{
    struct train_pass *p;
    struct error err = { 0 };
    if (train_pass_open(&p, t->r.model, o, &err) != 0)
        fail_msg("%s: %s", t->name, err.text);
    return p;
}

static struct parameter *parameters_new(const struct train_pass *p, size_t *n)
{
    *n = train_pass_parameters(p, NULL);
    struct parameter *list = calloc(*n, sizeof *list);
    assert_non_null(list);
    assert_int_equal(train_pass_parameters(p, list), *n);
    return list;
}

static void assert_same_gradients(const struct train_pass *a, const struct train_pass *b, bool same)
{
    size_t n, m;
    bool all = true;
    struct parameter *x = parameters_new(a, &n), *y = parameters_new(b, &m);
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++)
        all = all && memcmp(x[i].gradient, y[i].gradient, parameter_count(&x[i]) * sizeof(float)) == 0;
    assert_true(all == same);
    free(x);
    free(y);
}

/* Whatever the threads, with checkpoints and without, with dropout and without. */
static void check_same_bits(const struct adapted *t, const struct train_options *base, const struct train_pass *p,
    double loss)
{
    for (int i = 0; i < 3; i++) {
        struct train_options o = *base;
        o.threads = 1 + i;
        o.checkpoint = i > 0;
        struct train_pass *other = open_pass(t, &o);
        assert_true(train(other, t) == loss);
        assert_same_gradients(p, other, true);
        train_pass_close(other);
    }
}

/* The adapter becomes its gradients: so they are written under PEFT's names and in its order. */
static void check_gradients(struct adapted *t, const struct train_pass *p, struct gradient_worst *worst)
{
    struct tensors file;
    const json_t *list = json_object_get(t->golden.json, "gradients"), *entry;
    char out[CASE_PATH_MAX];
    size_t n, i;
    struct parameter *parameters = parameters_new(p, &n);
    for (size_t k = 0; k < n; k++)
        memcpy(parameters[k].data, parameters[k].gradient, parameter_count(&parameters[k]) * sizeof(float));
    save(t, out);
    tensors_open(&file, out);
    assert_int_equal(json_array_size(list), file.table.count);
    json_array_foreach(list, i, entry)
    {
        const struct file_tensor *x = table_find(&file.table, json_string_value(json_array_get(entry, 0)));
        assert_non_null(x);
        gradient_check(entry, x->data, (int64_t)(x->bytes / sizeof(float)), t->r.spec->layers, worst);
    }
    tensors_close(&file);
    free(parameters);
}

static void gradients_are_pefts(void **state)
{
    (void)state;
    for (int i = 0; i < n_paths; i++) {
        struct adapted t;
        struct gradient_worst worst = { .unit = GRADIENT_UNIT };
        adapted_open(&t, paths[i]);
        bool named = json_object_get(t.golden.json, "gradients");
        const struct train_options o = { .tokens_max = t.golden.tokens, .texts_max = GRADIENT_TEXTS, .logits_max = 7,
            .threads = 2, .adapter = t.adapter };
        struct train_pass *p = open_pass(&t, &o);
        double loss = train(p, &t), want = json_real_of(t.golden.json, "loss", 0);
        assert_true(!named || fabs(loss - want) <= GRADIENT_FEW * (t.r.spec->layers + 1) * GRADIENT_UNIT * want);
        for (int r = 0; r < N_ROLES; r++)
            assert_null(train_pass_weight(p, r, 0)->gradient);
        check_same_bits(&t, &o, p, loss);
        if (named)
            check_gradients(&t, p, &worst);
        printf("%s: worst element %.1f units, sum %.1f, %.0f%% of what is allowed\n", t.name, worst.element, worst.sum,
            100 * worst.share);
        train_pass_close(p);
        adapted_close(&t);
    }
}

/* ---- new ones ---- */

static struct adapter *new_adapter(const struct adapted *t, const struct adapter_options *o)
{
    struct adapter *a;
    struct error err = { 0 };
    if (adapter_new(&a, t->r.model, t->base.config, o, 2, &err) != 0)
        fail_msg("%s: %s", t->name, err.text);
    return a;
}

/* What has learned while it is attached is what a reader of its folder gets. */
static void check_sessions(struct adapted *t, const float *before)
{
    const struct cut whole = { &format_f32, 2, t->base.n_ids, 0 };
    const size_t bytes = (size_t)t->base.n_ids * (size_t)t->r.spec->vocabulary * sizeof(float);
    char out[CASE_PATH_MAX];
    save(t, out);
    assert_int_equal(adapter_refresh(t->adapter, 2, NULL), 0);
    float *now = runner_logits_new(&t->r, t->base.ids, t->base.n_ids, &whole);
    assert_memory_not_equal(now, before, bytes);
    adapter_close(t->adapter);
    snprintf(t->folder, sizeof t->folder, "%s", out);
    open_adapter(t);
    attach(t, 1);
    float *read = runner_logits_new(&t->r, t->base.ids, t->base.n_ids, &whole);
    assert_memory_equal(read, now, bytes);
    free(now);
    free(read);
}

/* They change nothing, learn, and leave out what the seed says. */
static void new_ones(void **state)
{
    (void)state;
    const char *const names[] = { "lora", "fused", "experts", "experts_turned" };
    for (int i = 0; i < 8; i++) {
        struct adapted t;
        char path[128];
        snprintf(path, sizeof path, "tests/golden/data/adapters/%s.json", names[i / 2]);
        adapted_open(&t, test_repo(path));
        adapter_close(t.adapter);
        const struct adapter_options wanted = { .rank = 3, .alpha = 6, .targets = i % 2 ? "attention" : "all",
            .magnitude = i % 2, .dropout = 0.25, .seed = 5 };
        t.adapter = new_adapter(&t, &wanted);
        const struct cut whole = { &format_f32, 2, t.base.n_ids, 0 };
        float *before = runner_logits_new(&t.r, t.base.ids, t.base.n_ids, &whole);
        attach(&t, 1);
        float *after = runner_logits_new(&t.r, t.base.ids, t.base.n_ids, &whole);
        assert_true(compare_share(after, before, t.base.n_ids * t.r.spec->vocabulary) < 1e-6);
        struct train_options o = { .tokens_max = t.golden.tokens, .texts_max = GRADIENT_TEXTS, .logits_max = 40,
            .threads = 2, .adapter = t.adapter };
        struct train_pass *all = open_pass(&t, &o), *some = open_pass(&t, &o);
        train_pass_seed(some, 9);
        double loss = train(all, &t);
        train(some, &t);
        assert_same_gradients(all, some, false);
        for (int threads = 1; threads <= 3; threads += 2) {
            o.threads = threads;
            o.checkpoint = true;
            struct train_pass *other = open_pass(&t, &o);
            train_pass_seed(other, 9);
            train(other, &t);
            assert_same_gradients(some, other, true);
            train_pass_close(other);
        }
        size_t n; /* a step down the gradient */
        struct parameter *list = parameters_new(all, &n);
        for (size_t k = 0; k < n; k++)
            for (size_t x = 0; x < parameter_count(&list[k]); x++)
                ((float *)list[k].data)[x] -= 0.05f * list[k].gradient[x];
        assert_true(train(all, &t) < loss);
        free(list);
        train_pass_close(all);
        train_pass_close(some);
        check_sessions(&t, after);
        free(before);
        free(after);
        adapted_close(&t);
    }
}

static void others_are_refused(void **state)
{
    (void)state;
    struct adapted t, other;
    struct error err = { 0 };
    struct adapter *a;
    char out[CASE_PATH_MAX];
    adapted_open(&t, test_repo("tests/golden/data/adapters/lora.json"));
    adapted_open(&other, test_repo("tests/golden/data/adapters/magnitudes.json"));
    assert_int_equal(adapter_open(&a, other.r.model, t.folder, &err), ERROR_FORMAT); /* by shape */
    assert_non_null(strstr(err.text, "shape"));
    save(&t, out);
    assert_int_equal(adapter_open(&a, other.r.model, out, &err), ERROR_USAGE); /* by what it was made for */
    assert_non_null(strstr(err.text, "another base"));
    static const struct {
        const char *targets;
        int rank, code;
    } wrong[] = { { "q,nothing", 4, ERROR_USAGE }, { "output", 4, ERROR_UNSUPPORTED },
        { "token_embedding", 4, ERROR_UNSUPPORTED }, { "router", 4, ERROR_UNSUPPORTED }, { "q", 0, ERROR_USAGE },
        { "expert_up", 4, ERROR_USAGE }, { "attn_norm", 4, ERROR_USAGE }, { "", 4, ERROR_USAGE } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct adapter_options o = { .rank = wrong[i].rank, .alpha = 1, .targets = wrong[i].targets };
        assert_int_equal(adapter_new(&a, t.r.model, t.base.config, &o, 1, &err), wrong[i].code);
        assert_null(a);
    }
    adapted_close(&other);
    adapted_open(&other, test_repo("tests/golden/data/adapters/experts.json"));
    const struct adapter_options stretched = { .rank = 2, .alpha = 1, .targets = "all", .magnitude = true };
    assert_int_equal(adapter_new(&a, other.r.model, other.base.config, &stretched, 1, &err), ERROR_UNSUPPORTED);
    adapted_close(&other);
    adapted_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_pefts),
        cmocka_unit_test(bases_in_gguf),
        cmocka_unit_test(several_at_once),
        cmocka_unit_test(folders_hold_the_same),
        cmocka_unit_test(gradients_are_pefts),
        cmocka_unit_test(new_ones),
        cmocka_unit_test(others_are_refused),
    };
    n_paths = case_list(paths, CASES_MAX, "tests/golden/data/adapters", "");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
