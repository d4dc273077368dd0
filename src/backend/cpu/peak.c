/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/peak.h"

#include "base/clock.h"
#include "kernel/kernel.h"
#include "kernel/probe.h"

#include <string.h>
#include <sys/mman.h>

#define TRIES 4 /* the best counts: whoever takes the processor for a moment does not lower a peak */
#define PRODUCTS_SECONDS 0.01 /* of a try: long against the start of threads, short against a change of the clock */
#define PRODUCTS_ROUNDS 20000L

/* Seconds in which the threads, each its part, read data once. */
static double read_all(const unsigned char *data, int threads)
{
    const size_t share = PEAK_READ_BYTES / (size_t)threads / 256 * 256;
    uint64_t sum = 0;
    double begun = clock_seconds();
#pragma omp parallel for num_threads(threads) schedule(static) reduction(^ : sum)
    for (int t = 0; t < threads; t++)
        sum ^= probe_read(data + (size_t)t * share, share);
    __asm__ volatile("" : : "r"(sum)); /* used, so the reads happen */
    return clock_seconds() - begun;
}

int peak_read(double *bytes_per_second, int threads, struct error *err)
{
    unsigned char *data = mmap(NULL, PEAK_READ_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *bytes_per_second = 0;
    if (data == MAP_FAILED)
        return error_memory(err, PEAK_READ_BYTES, "measuring the read bandwidth");
    madvise(data, PEAK_READ_BYTES, MADV_HUGEPAGE);
    memset(data, 1, PEAK_READ_BYTES);
    for (int i = 0; i < TRIES; i++) {
        double rate = (double)PEAK_READ_BYTES / read_all(data, threads);
        *bytes_per_second = rate > *bytes_per_second ? rate : *bytes_per_second;
    }
    munmap(data, PEAK_READ_BYTES);
    return 0;
}

double peak_products(const struct format *weights, int threads)
{
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double products = 0, begun = clock_seconds();
#pragma omp parallel num_threads(threads) reduction(+ : products)
        while (clock_seconds() - begun < PRODUCTS_SECONDS)
            products += weights->pair == FORMAT_f32 ? probe_fp32(PRODUCTS_ROUNDS, kernels.features)
                                                    : probe_int8(PRODUCTS_ROUNDS, kernels.features);
        double rate = products / (clock_seconds() - begun);
        best = rate > best ? rate : best;
    }
    return best;
}
