/* SPDX-License-Identifier: Apache-2.0 */
#include "file/source_impl.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_values(const struct gguf *g)
{
    volatile char sink = 0;
    for (size_t i = 0; i < gguf_count(g); i++) {
        const struct gguf_value *v = gguf_value(g, i);
        struct gguf_strings it;
        const char *text;
        size_t n;
        int64_t whole;
        double real;
        gguf_strings_begin(&it, v);
        for (uint64_t k = 0; gguf_strings_next(&it, &text, &n); k++) {
            assert(k < v->count);
            sink = (char)(sink + (n ? text[n - 1] : 0));
        }
        if (v->count) {
            gguf_whole_at(v, v->count - 1, &whole);
            gguf_real_at(v, v->count - 1, &real);
        }
        assert(!gguf_whole_at(v, v->count, &whole));
    }
}

/* What was accepted lies inside the file, in order; its config can be built or is refused. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table t = { 0 };
    struct error err = { 0 };
    struct gguf *g;
    json_t *config = NULL, *generation = NULL;
    int rc = gguf_read(&g, data, size, "input", &t, &err);
    assert((rc == 0) == (err.code == 0) && (rc == 0) == (g != NULL));
    if (rc == 0) {
        const uint8_t *end = data;
        for (size_t i = 0; i < t.count; i++) {
            const struct file_tensor *x = &t.at[i];
            const uint8_t *at = x->data;
            assert(!x->bytes || (at >= end && x->bytes <= (uint64_t)(data + size - at)));
            end = x->bytes ? at + x->bytes : end;
        }
        walk_values(g);
        rc = gguf_config_new(&config, g, &t, &err);
        assert((rc == 0) == (config != NULL));
        assert(gguf_generation_new(&generation, g, &err) == 0);
    }
    json_decref(config);
    json_decref(generation);
    gguf_close(g);
    table_release(&t);
    return 0;
}
