/* SPDX-License-Identifier: Apache-2.0 */
#include "train/report.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A log is refused with words, or its series rise and become a page whose every < is ours. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct history h;
    struct buffer page = { 0 };
    int rc = history_parse(&h, (const char *)data, size, &err);
    assert((rc == 0) == (err.code == 0));
    if (rc)
        return 0;
    for (size_t i = 0; i < h.n_series; i++) {
        assert(h.series[i].n > 0);
        for (size_t k = 1; k < h.series[i].n; k++)
            assert(h.series[i].step[k - 1] <= h.series[i].step[k]);
    }
    report_page(&page, &h);
    assert(buffer_check(&page, "a page", &err) == 0);
    assert(!strstr(page.data, "<script") && !strstr(page.data, "<img"));
    buffer_release(&page);
    history_release(&h);
    return 0;
}
