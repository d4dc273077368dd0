/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/peak.h"

#include "base/clock.h"
#include "kernel/kernel.h"
#include "kernel/probe.h"

#include <omp.h>
#include <string.h>
#include <sys/mman.h>

#define PRODUCTS_SECONDS 0.03 /* long against the start of threads, short against a change of the clock */
#define PRODUCTS_ROUNDS 20000L

int peak_read(double *bytes_per_second, int threads, struct error *err)
{
    const size_t share = PEAK_READ_BYTES / (size_t)threads / 256 * 256;
    uint64_t sum = 0;
    unsigned char *data = mmap(NULL, PEAK_READ_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return error_memory(err, PEAK_READ_BYTES, "measuring the read bandwidth");
    madvise(data, PEAK_READ_BYTES, MADV_HUGEPAGE);
    memset(data, 1, PEAK_READ_BYTES);
    double begun = clock_seconds();
#pragma omp parallel for num_threads(threads) schedule(static) reduction(^ : sum)
    for (int t = 0; t < threads; t++)
        sum ^= probe_read(data + (size_t)t * share, share);
    double seconds = clock_seconds() - begun;
    __asm__ volatile("" : : "r"(sum)); /* used, so the reads happen */
    munmap(data, PEAK_READ_BYTES);
    *bytes_per_second = (double)(share * (size_t)threads) / seconds;
    return 0;
}

double peak_products(const struct format *weights, int threads)
{
    double products = 0, begun = clock_seconds();
#pragma omp parallel num_threads(threads) reduction(+ : products)
    while (clock_seconds() - begun < PRODUCTS_SECONDS)
        products += weights->pair == FORMAT_f32 ? probe_fp32(PRODUCTS_ROUNDS, kernels.features)
                                                : probe_int8(PRODUCTS_ROUNDS, kernels.features);
    return products / (clock_seconds() - begun);
}
