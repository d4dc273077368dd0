/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenize.h"

#include "file/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The vocabulary of a GGUF, whatever model its metadata name; what opens must encode and decode. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct tokenizer *t;
    struct gguf *g;
    if (gguf_read(&g, data, size, "input", NULL, &err) != 0)
        return 0;
    assert(tokenizer_new(&t, NULL) == 0);
    int rc = load_gguf(t, g, &err);
    assert((rc == 0) == (err.code == 0));
    finish_and_try(t, rc);
    gguf_close(g);
    return 0;
}
