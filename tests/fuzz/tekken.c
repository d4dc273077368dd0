/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct tokenizer *t;
    json_t *root;
    if (json_read_new(&root, (const char *)data, size, "input", &err) != 0)
        return 0;
    assert(tokenizer_new(&t, NULL) == 0);
    int rc = load_tekken(t, root, &err);
    assert((rc == 0) == (err.code == 0));
    finish_and_try(t, rc);
    json_decref(root);
    return 0;
}
