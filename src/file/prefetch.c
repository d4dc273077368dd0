/* SPDX-License-Identifier: Apache-2.0 */
#include "file/prefetch.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP ((uint64_t)64 << 20)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

/* 0, or errno. Older kernels do not know the advice: then one byte of each page is read. */
static int populate(const void *data, uint64_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data / page * page;
    uintptr_t end = (uintptr_t)data + bytes;
    if (madvise((void *)begin, end - begin, MADV_POPULATE_READ) == 0)
        return 0;
    if (errno != EINVAL)
        return errno;
    for (uintptr_t at = begin; at < end; at += page)
        (void)*(const volatile unsigned char *)at;
    return 0;
}

int source_prefetch(const struct source *s, bool (*progress)(void *context, uint64_t done, uint64_t total),
    void *context, struct error *err)
{
    uint64_t total = 0, done = 0;
    for (size_t i = 0; i < source_tensor_count(s); i++)
        total += source_tensor(s, i)->bytes;
    for (size_t i = 0; i < source_tensor_count(s); i++) {
        const struct file_tensor *t = source_tensor(s, i);
        for (uint64_t at = 0; at < t->bytes; at += STEP) {
            uint64_t n = t->bytes - at < STEP ? t->bytes - at : STEP;
            int failed = populate((const unsigned char *)t->data + at, n);
            if (failed)
                return error_errno(err, failed, "could not read tensor \"%s\" of %s", t->name, source_path(s));
            done += n;
            if (progress && !progress(context, done, total))
                return error_set(err, ERROR_CANCELLED, "stopped while reading the weights");
        }
    }
    return 0;
}
