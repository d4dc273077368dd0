/* SPDX-License-Identifier: Apache-2.0 */
#include "failure_publish.h"

#include "support.h"

#include "base/filemap.h"
#include "publish/publish.h"
#include "text/save.h"

#include <dirent.h>
#include <stdio.h>

const char *failure_root;

/* Looking is not under test. */
DIR *__real_opendir(const char *path);
int __real_closedir(DIR *dir);

/* Nothing of what failed is left, beside its place or at it. */
static void check_place(const char *folder, const char *name, bool there)
{
    DIR *d = __real_opendir(folder);
    int n = 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    __real_closedir(d);
    assert_int_equal(n, there ? 1 : 0);
    assert_true(file_exists(test_join(folder, name)) == there);
}

static int write_model(const char *name, struct error *err)
{
    static const int32_t ids[] = { 1, 2, 3 };
    static const char *const files[] = { "config.json", "model.safetensors", "wazn.json", "tokenizer.json",
        "tokenizer.model", "tekken.json" };
    struct publish_options options = { .path = test_join(test_join(failure_root, "out"), name),
        .recipe = recipe_find("f16"), .ids = ids, .n_ids = 3, .threads = 1 };
    struct publish_report report;
    struct source *s = NULL;
    struct model *m = NULL;
    int rc = source_open(&s, test_join(failure_root, "model.bin"), NULL, NULL, err);
    if (rc == 0)
        rc = model_open(&m, s, NULL, err);
    if (rc == 0)
        rc = publish(&report, s, m, NULL, &options, err);
    model_close(m);
    source_close(s);
    check_place(test_join(failure_root, "out"), name, rc == 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/out/%s/%s", failure_root, name, files[i]);
        remove(path);
    }
    remove(test_join(test_join(failure_root, "out"), name));
    return rc;
}

static int save(const char *name, struct error *err)
{
    static const char *const files[] = { "tokenizer.json", "tokenizer.model", "tokenizer_config.json" };
    struct tokenizer *t = NULL;
    struct gguf_out o = { 0 };
    struct buffer header = { 0 };
    int rc = tokenizer_open(&t, test_join(failure_root, name), NULL, err);
    if (rc == 0)
        rc = tokenizer_save_gguf(t, &o, tokenizer_size(t) + 1, NULL, err);
    if (rc == 0)
        rc = gguf_out_header(&o, &header, err);
    if (rc == 0)
        rc = tokenizer_save_folder(t, test_join(failure_root, "out"), "x", err);
    tokenizer_close(t);
    gguf_out_release(&o);
    buffer_release(&header);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        remove(test_join(test_join(failure_root, "out"), files[i]));
    check_place(test_join(failure_root, "out"), "none", false);
    return rc;
}

int failure_gguf(struct error *err)
{
    return write_model("m.gguf", err);
}

int failure_folder(struct error *err)
{
    return write_model("m", err);
}

int failure_spm(struct error *err)
{
    return save("tokenizer.model", err);
}

int failure_unigram(struct error *err)
{
    return save("unigram.model", err);
}

int failure_byte_level(struct error *err)
{
    return save("vocabulary/vocab.json", err);
}
