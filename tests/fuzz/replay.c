/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over its corpus, then over seeded mutations of it: what the normal suite does without libFuzzer.
 * A crash, an assert or a sanitizer report ends the program; the input that did it is left in /tmp for replay. */
#include "base/filemap.h"
#include "base/random.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUTS_MAX 4096
#define INPUT_BYTES_MAX (1u << 20)
#define MUTATIONS 4000

static struct input {
    char *data;
    size_t size;
} inputs[INPUTS_MAX];
static int n_inputs;

static int load(const char *folder)
{
    struct error err = { 0 };
    char path[4096];
    DIR *dir = opendir(folder);
    if (!dir) {
        fprintf(stderr, "no corpus folder \"%s\"\n", folder);
        return -1;
    }
    for (struct dirent *e; (e = readdir(dir)) && n_inputs < INPUTS_MAX;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        struct input *in = &inputs[n_inputs];
        if (file_read_new(&in->data, &in->size, path, INPUT_BYTES_MAX, &err) != 0) {
            fprintf(stderr, "%s\n", err.text);
            closedir(dir);
            return -1;
        }
        n_inputs++;
    }
    closedir(dir);
    return n_inputs ? 0 : -1;
}

/* Bytes live in memory of their exact size, so that reading past the end is seen by the sanitizer. */
static void run_exact(const char *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static size_t mutate_once(struct random *r, char *data, size_t size, size_t capacity)
{
    static const uint64_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x7fffffff, 0xffffffff, UINT64_MAX, INT64_MAX };
    if (size == 0)
        return size;
    size_t at = random_below(r, (uint32_t)size), n;
    switch (random_below(r, 6)) {
    case 0:
        data[at] ^= (char)(1u << random_below(r, 8));
        break;
    case 1:
        data[at] = (char)random_next(r);
        break;
    case 2: /* a number at the edge of its type */
        n = (size_t)1 << random_below(r, 4);
        memcpy(data + at, &edges[random_below(r, 10)], n < size - at ? n : size - at);
        break;
    case 3: /* cut */
        return at;
    case 4: /* remove a run */
        n = 1 + random_below(r, 16);
        if (n > size - at)
            n = size - at;
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    default: /* repeat a run */
        n = 1 + random_below(r, 64);
        if (n > size - at)
            n = size - at;
        if (size + n > capacity)
            return size;
        memmove(data + at + n, data + at, size - at);
        return size + n;
    }
    return size;
}

static char last_input[INPUT_BYTES_MAX + 4096];
static size_t last_size;

static void keep_input(int signal_number)
{
    static const char path[] = "/tmp/wazn-fuzz-failure";
    FILE *f = fopen(path, "wb");
    if (f) {
        fwrite(last_input, 1, last_size, f);
        fclose(f);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

int main(int argc, char **argv)
{
    struct random r;
    if (argc < 2 || load(argv[1]) != 0) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER [MUTATIONS]\n", argv[0]);
        return 2;
    }
    long mutations = argc > 2 ? strtol(argv[2], NULL, 10) : MUTATIONS;
    signal(SIGABRT, keep_input);
    signal(SIGSEGV, keep_input);
    for (int i = 0; i < n_inputs; i++)
        run_exact(inputs[i].data, inputs[i].size);
    random_seed(&r, 1);
    for (long i = 0; i < mutations; i++) {
        const struct input *in = &inputs[random_below(&r, (uint32_t)n_inputs)];
        memcpy(last_input, in->data, in->size);
        last_size = in->size;
        for (uint32_t k = random_below(&r, 4) + 1; k > 0; k--)
            last_size = mutate_once(&r, last_input, last_size, sizeof last_input);
        run_exact(last_input, last_size);
    }
    printf("%d inputs, %ld mutations\n", n_inputs, mutations);
    return 0;
}
