/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/filemap.h"
#include "file/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Real files of every kind: how many tensors they have and what they say they are. */
static void real_models_open(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum source_kind kind;
        size_t tensors;
        const char *model_type;
        long long vocab;
    } files[] = {
        { "weights/stories260K/hf", SOURCE_SAFETENSORS, 47, "llama", 512 },
        { "weights/stories260K/stories260K.bin", SOURCE_LLAMA2C, 47, "llama", 512 },
        { "weights/babyllama105/model5000.bin", SOURCE_LLAMA2C, 47, "llama", 105 },
        { "formats/edge/nutllm.tiny-llama2.bin", SOURCE_LLAMA2C, 21, "llama", 6 },
        { "formats/edge/nutllm.tiny-llama2-shared.bin", SOURCE_LLAMA2C, 20, "llama", 6 },
        { "formats/hf-llama-tiny-random", SOURCE_SAFETENSORS, 39, "llama", 16 },
        { "formats/gguf/ggml-vocab-baichuan.gguf", SOURCE_GGUF, 0, "baichuan", -1 },
        { "formats/gguf/ggml-vocab-gpt-neox.gguf", SOURCE_GGUF, 0, "gptneox", -1 },
        { "formats/gguf/test-le-v3.gguf", SOURCE_GGUF, 3, "llama", 5 },
        { "formats/edge/weight-inspect.empty.gguf", SOURCE_GGUF, 0, "llama", -1 },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct error e = { 0 };
        struct source *s;
        const char *path = test_data(files[i].path);
        if (!path)
            skip();
        if (source_open(&s, path, NULL, NULL, &e) != 0)
            fail_msg("%s", e.text);
        assert_int_equal(source_kind(s), files[i].kind);
        assert_int_equal(source_tensor_count(s), files[i].tensors);
        assert_string_equal(json_text(source_config(s), "model_type", ""), files[i].model_type);
        assert_int_equal(json_whole(source_config(s), "vocab_size", -1), files[i].vocab);
        for (size_t k = 0; k < source_tensor_count(s); k++)
            assert_ptr_equal(source_find(s, source_tensor(s, k)->name), source_tensor(s, k));
        source_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_models_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
