/* SPDX-License-Identifier: Apache-2.0 */
#include "file/source_impl.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table t = { 0 };
    struct error err = { 0 };
    json_t *config = NULL;
    int rc = llama2c_read(&t, &config, data, size, "input", &err);
    assert((rc == 0) == (config != NULL) && (rc == 0) == (err.code == 0));
    for (size_t i = 0; rc == 0 && i < t.count; i++) {
        const uint8_t *at = t.at[i].data;
        assert(at >= data + 28 && t.at[i].bytes <= (uint64_t)(data + size - at));
    }
    json_decref(config);
    table_release(&t);
    return 0;
}
