/* SPDX-License-Identifier: Apache-2.0 */
#include "file/safetensors.h"
#include "file/table.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was accepted lies inside the file and covers it without overlap. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table t = { 0 };
    struct error err = { 0 };
    uint64_t sum = 0;
    int rc = safetensors_read(&t, data, size, "input", &err);
    assert((rc == 0) == (err.code == 0));
    for (size_t i = 0; rc == 0 && i < t.count; i++) {
        const struct file_tensor *x = &t.at[i];
        const uint8_t *at = x->data;
        assert(table_find(&t, x->name) == x);
        assert(!x->bytes || (at >= data + 8 && x->bytes <= (uint64_t)(data + size - at)));
        sum += x->bytes;
    }
    assert(rc || sum < size);
    if (rc == 0)
        assert(table_align(&t, &err) == 0);
    table_release(&t);
    return 0;
}
