/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* tiktoken's "base64 rank" lines, with each preset's pattern and special tokens by the first byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const presets[] = { "gpt2", "cl100k", "o200k", "llama3" };
    struct error err = { 0 };
    struct tokenizer *t;
    if (size == 0)
        return 0;
    ranks_recognize((const char *)data + 1, size - 1);
    assert(tokenizer_new(&t, NULL) == 0);
    int rc = load_ranks(t, (const char *)data + 1, size - 1, presets[data[0] % 4], "input", &err);
    assert((rc == 0) == (err.code == 0));
    finish_and_try(t, rc);
    return 0;
}
