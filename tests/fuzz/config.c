/* SPDX-License-Identifier: Apache-2.0 */
/* config.json to a description, for every kind of file; what passes must be safe to measure. */
#include "model/kv.h"
#include "model/model_impl.h"
#include "model/pass.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void measure(const struct model *m)
{
    struct kv_options kv_options = { .format = &format_f16, .context = m->spec.context, .tokens_max = 512 };
    struct pass_options pass_options = { .tokens_max = 512, .logits_max = 512, .context_max = m->spec.context,
        .threads = 16 };
    struct arena arena = { 0 };
    struct kv kv;
    if (kv_check(&m->spec, &kv_options, NULL) == 0)
        kv_layout(&kv, &m->spec, &kv_options, &arena);
    assert(pass_bytes(m, &pass_options) > 0);
    for (int r = 0; r < N_ROLES; r++) {
        struct role_shape shape = role_shape(&m->spec, r, m->spec.layers - 1);
        assert(!shape.wanted || (shape.rows > 0 && shape.cols > 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model m;
    json_t *config;
    if (json_read_new(&config, (const char *)data, size, "a config", NULL) != 0)
        return 0;
    for (int kind = SOURCE_SAFETENSORS; kind <= SOURCE_LLAMA2C; kind++) {
        struct error err = { 0 };
        int rc = spec_read(&m.spec, config, (enum source_kind)kind, &err);
        assert((rc == 0) == (err.code == 0));
        if (rc == 0)
            measure(&m);
    }
    json_decref(config);
    return 0;
}
