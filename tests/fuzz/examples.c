/* SPDX-License-Identifier: Apache-2.0 */
/* A file of training data of each kind, told by the first byte: read to its end or refused with its name. */
#include "support.h"
#include "train/corpus.h"
#include "train/examples.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_documents(const char *path)
{
    struct error err = {0};
    struct corpus *c;
    struct document d;
    int rc = corpus_open(&c, &path, 1, &(struct corpus_options){.separator = "\n\n", .bytes_max = 1 << 20}, &err);
    assert(rc == 0);
    while ((rc = corpus_next(c, &d, &err)) == 1)
        assert(d.n > 0 && d.n <= 1 << 20);
    assert((rc == 0) == (err.code == 0) && (rc == 0 || strstr(err.text, path)));
    corpus_close(c);
}

static void read_examples(const char *path)
{
    struct error err = {0};
    struct examples *e;
    struct example x;
    int rc = examples_open(&e, &path, 1, &(struct examples_options){0}, &err);
    assert(rc == 0);
    while ((rc = examples_next(e, &x, &err)) == 1)
        assert(x.kind == EXAMPLE_TEXT ? x.text != NULL : json_array_size(x.messages) > 0);
    assert((rc == 0) == (err.code == 0) && (rc == 0 || strstr(err.text, path)));
    examples_close(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.jsonl", "a.json", "a.txt", "a.jsonl.gz", "a.txt.zst"};
    static const char *folder;
    if (size == 0)
        return 0;
    if (!folder)
        folder = test_folder();
    unsigned kind = data[0] % 5;
    const char *path = test_join(folder, names[kind]);
    test_write(path, data + 1, size - 1);
    read_documents(path);
    if (kind != 2 && kind != 4)
        read_examples(path);
    return 0;
}
