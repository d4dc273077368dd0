/* SPDX-License-Identifier: Apache-2.0 */
/* An adapter's folder that is hostile: the first byte of the input says for which tiny model it is, a zero byte parts
 * its config from its weights. What is accepted runs, and is written and read again as it was. */
#include "base/cpu.h"
#include "base/filemap.h"
#include "file/safetensors.h"
#include "kernel/kernel.h"
#include "model/adapter.h"
#include "model/kv.h"
#include "model/pass.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char in_memory[] = "/dev/shm/wazn-fuzz-XXXXXX", on_disk[] = "/tmp/wazn-fuzz-XXXXXX";
static const char *root;
static struct source *sources[2];
static struct model *models[2];

static const char *in_root(const char *name)
{
    static char paths[4][300];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void put(const char *name, const void *data, size_t size)
{
    FILE *f = fopen(in_root(name), "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

static void take_away(const char *folder)
{
    static const char *const names[] = { "config.json", "model.safetensors", "adapter_config.json",
        "adapter_model.safetensors" };
    char path[400];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", in_root(folder), names[i]);
        unlink(path);
    }
    rmdir(in_root(folder));
}

static void clean(void)
{
    for (int i = 0; i < 2; i++) {
        model_close(models[i]);
        source_close(sources[i]);
    }
    take_away("0");
    take_away("1");
    take_away("a");
    take_away("b");
    rmdir(root);
}

/* ---- two models of one layer: llama, and mixtral with two experts ---- */

#define DIM 4
#define FFN 6
static float numbers[64];

struct named {
    const char *name;
    int rows, cols; /* rows 0: a vector */
};
static const struct named common[] = { { "model.embed_tokens.weight", 5, DIM }, { "model.norm.weight", 0, DIM },
    { "lm_head.weight", 5, DIM }, { "model.layers.0.input_layernorm.weight", 0, DIM },
    { "model.layers.0.post_attention_layernorm.weight", 0, DIM },
    { "model.layers.0.self_attn.q_proj.weight", DIM, DIM }, { "model.layers.0.self_attn.k_proj.weight", DIM, DIM },
    { "model.layers.0.self_attn.v_proj.weight", DIM, DIM }, { "model.layers.0.self_attn.o_proj.weight", DIM, DIM } };
static const struct named llama[] = { { "model.layers.0.mlp.gate_proj.weight", FFN, DIM },
    { "model.layers.0.mlp.up_proj.weight", FFN, DIM }, { "model.layers.0.mlp.down_proj.weight", DIM, FFN } };
#define EXPERT "model.layers.0.block_sparse_moe."
static const struct named mixtral[] = { { EXPERT "gate.weight", 2, DIM }, { EXPERT "experts.0.w1.weight", FFN, DIM },
    { EXPERT "experts.0.w2.weight", DIM, FFN }, { EXPERT "experts.0.w3.weight", FFN, DIM },
    { EXPERT "experts.1.w1.weight", FFN, DIM }, { EXPERT "experts.1.w2.weight", DIM, FFN },
    { EXPERT "experts.1.w3.weight", FFN, DIM } };

static size_t list_tensors(struct file_tensor *list, size_t n, const struct named *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        list[n++] = (struct file_tensor) { .name = from[i].name, .type_name = "F32", .dims = from[i].rows ? 2 : 1,
            .shape = { from[i].rows ? from[i].rows : from[i].cols, from[i].cols }, .data = numbers,
            .bytes = sizeof(float) * (uint64_t)((from[i].rows ? from[i].rows : 1) * from[i].cols) };
    return n;
}

static void make_model(int which)
{
    struct file_tensor list[32];
    char folder[2] = { (char)('0' + which), 0 }, file[32], config[512];
    size_t n = list_tensors(list, 0, common, sizeof common / sizeof *common);
    n = which ? list_tensors(list, n, mixtral, sizeof mixtral / sizeof *mixtral)
              : list_tensors(list, n, llama, sizeof llama / sizeof *llama);
    snprintf(config, sizeof config, "{\"model_type\": \"%s\", \"hidden_size\": 4, \"intermediate_size\": 6, "
        "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 2, \"vocab_size\": 5, "
        "\"max_position_embeddings\": 8, \"num_local_experts\": 2, \"num_experts_per_tok\": 1, "
        "\"tie_word_embeddings\": false}", which ? "mixtral" : "llama");
    if (mkdir(in_root(folder), 0700) != 0)
        abort();
    snprintf(file, sizeof file, "%s/config.json", folder);
    put(file, config, strlen(config));
    snprintf(file, sizeof file, "%s/model.safetensors", folder);
    if (safetensors_write(in_root(file), list, n, NULL, NULL) != 0
        || source_open(&sources[which], in_root(folder), NULL, NULL, NULL) != 0
        || model_open(&models[which], sources[which], NULL, NULL) != 0)
        abort();
}

static void prepare(void)
{
    kernels_init(cpu_features());
    root = mkdtemp(in_memory);
    if (!root)
        root = mkdtemp(on_disk);
    if (!root)
        abort();
    atexit(clean);
    for (int i = 0; i < 64; i++)
        numbers[i] = 0.25f + (float)(i % 7) / 16;
    make_model(0);
    make_model(1);
    if (mkdir(in_root("a"), 0700) != 0)
        abort();
}

/* ---- what was accepted ---- */

static void run(const struct model *m)
{
    const struct kv_options cache = { &format_f32, 4, 4 };
    const struct pass_options options = { .tokens_max = 4, .logits_max = 4, .context_max = 4, .threads = 1 };
    const int32_t ids[4] = { 0, 1, 2, 4 };
    struct arena arena = { 0 };
    struct kv kv;
    struct pass *pass;
    kv_layout(&kv, model_spec(m), &cache, &arena);
    assert(arena_reserve(&arena, NULL) == 0);
    kv_layout(&kv, model_spec(m), &cache, &arena);
    assert(pass_open(&pass, m, &options, NULL) == 0);
    struct pass_sequence sequence = { .kv = &kv, .ids = ids, .count = 4, .all_logits = true };
    assert(pass_run(pass, &sequence, 1, NULL) == 0);
    pass_close(pass);
    arena_release(&arena);
}

static void write_and_read(const struct adapter *a, const struct model *m)
{
    struct error err = { 0 };
    struct adapter *again;
    struct adapter_about one, two;
    int rc = adapter_save(a, in_root("b"), "base", &err);
    assert(rc == 0 && adapter_open(&again, m, in_root("b"), &err) == 0);
    adapter_describe(a, &one);
    adapter_describe(again, &two);
    assert(one.parameters == two.parameters && one.modules == two.modules && one.rank == two.rank);
    adapter_close(again);
    take_away("b");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct adapter *a;
    if (!root)
        prepare();
    const uint8_t *end = size > 1 ? memchr(data + 1, 0, size - 1) : NULL;
    if (!end)
        return 0;
    struct model *m = models[data[0] % 2];
    put("a/adapter_config.json", data + 1, (size_t)(end - data - 1));
    put("a/adapter_model.safetensors", end + 1, (size_t)(data + size - end - 1));
    int rc = adapter_open(&a, m, in_root("a"), &err);
    assert((rc == 0) == (err.code == 0) && (rc == 0) == (a != NULL));
    if (rc == 0) {
        write_and_read(a, m);
        assert(adapter_attach(a, m, 1, 1, &err) == 0);
        run(m);
    }
    adapter_close(a);
    return 0;
}
