/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the read bandwidth decoding uses: bench-decode MODEL [THREADS [ROUNDS]].
 * Probe and decode take turns, since the machine's bandwidth moves; each round compares neighbours. A token reads every
 * weight once, the embedding table only where it is the output matrix too; keys and values are few here. */
#include "base/clock.h"
#include "base/cpu.h"
#include "file/source.h"
#include "infer/session.h"
#include "kernel/kernel.h"
#include "kernel/probe.h"
#include "model/model.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PROBE_BYTES (512u << 20)
#define TOKENS 8 /* of a round */
#define ROUNDS_MAX 200

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return values[n / 2];
}

/* Bytes per second that all threads read together. */
static double probe(const unsigned char *data, int threads)
{
    uint64_t sum = 0;
    size_t share = PROBE_BYTES / (size_t)threads / 256 * 256;
    double start = clock_seconds();
#pragma omp parallel num_threads(threads) reduction(+ : sum)
    sum += probe_read(data + (size_t)omp_get_thread_num() * share, share);
    double seconds = clock_seconds() - start;
    if (sum == 1) /* never: the sum is used, so the reads happen */
        puts("");
    return (double)(share * (size_t)threads) / seconds;
}

/* Seconds of one token. */
static double decode(struct session *s, struct error *err)
{
    double start = clock_seconds();
    for (int i = 0; i < TOKENS; i++)
        if (session_push(s, i + 1, err) != 0)
            return -1;
    return (clock_seconds() - start) / TOKENS;
}

static int measure(struct session *s, double bytes, int threads, int rounds, struct error *err)
{
    double bandwidth[ROUNDS_MAX], rate[ROUNDS_MAX], share[ROUNDS_MAX];
    unsigned char *data = mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return error_memory(err, PROBE_BYTES, "the probe");
    memset(data, 1, PROBE_BYTES);
    for (int r = -1; r < rounds; r++) { /* the first is a warm-up */
        double before = probe(data, threads), seconds = decode(s, err), after = probe(data, threads);
        if (seconds < 0)
            return err->code;
        int at = r < 0 ? 0 : r;
        bandwidth[at] = (before + after) / 2;
        rate[at] = bytes / seconds;
        share[at] = rate[at] / bandwidth[at];
    }
    munmap(data, PROBE_BYTES);
    double middle = median(rate, rounds);
    printf("%d threads: %.1f tokens/s, %.2f GB a token: %.1f GB/s of %.1f GB/s, share median %.2f, best %.2f\n",
        threads, middle / bytes, bytes * 1e-9, middle * 1e-9, median(bandwidth, rounds) * 1e-9, median(share, rounds),
        share[rounds - 1]);
    return 0;
}

static double bytes_of_token(const struct model *m, const struct source *s)
{
    struct model_size size;
    model_measure(m, &size);
    const struct spec *spec = model_spec(m);
    const struct file_tensor *table = source_find(s, "token_embd.weight");
    if (!table)
        table = source_find(s, "model.embed_tokens.weight");
    double bytes = (double)(size.mapped_bytes + size.copied_bytes);
    return spec->tied || !table ? bytes : bytes - (double)table->bytes;
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    struct source *source = NULL;
    struct model *model = NULL;
    struct session *session = NULL;
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL [THREADS [ROUNDS]]\n", argv[0]);
        return 2;
    }
    int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : cpu_cores();
    int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 9;
    if (threads < 1 || rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    struct session_options options = { .context = (rounds + 1) * TOKENS + 1, .threads = threads };
    kernels_init(cpu_features());
    int rc = source_open(&source, argv[1], NULL, NULL, &err);
    if (rc == 0)
        rc = model_open(&model, source, NULL, &err);
    if (rc == 0)
        rc = session_open(&session, model, &options, &err);
    if (rc == 0)
        rc = session_push(session, 0, &err);
    if (rc == 0)
        rc = measure(session, bytes_of_token(model, source), threads, rounds, &err);
    if (rc)
        fprintf(stderr, "bench-decode: %s\n", err.text);
    session_close(session);
    model_close(model);
    source_close(source);
    return error_exit_status(rc);
}
