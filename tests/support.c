/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folders[64][64];
static int n_folders;

const char *test_join(const char *folder, const char *name)
{
    static char paths[8][4096];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

const char *test_data(const char *relative)
{
    const char *root = getenv("WAZN_DATA");
    if (!root || !*root) {
        printf("skipped: WAZN_DATA is not set, \"%s\" is needed\n", relative);
        return NULL;
    }
    const char *path = test_join(root, relative);
    if (access(path, R_OK) != 0) {
        printf("missing from WAZN_DATA: %s\n", path);
        abort();
    }
    return path;
}

const char *test_repo(const char *relative)
{
    const char *root = getenv("WAZN_TEST_SOURCE");
    return test_join(root ? root : ".", relative);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
    (void)st;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_folders(void)
{
    for (int i = 0; i < n_folders; i++)
        nftw(folders[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *test_folder(void)
{
    assert(n_folders < 64);
    char *path = folders[n_folders];
    snprintf(path, sizeof folders[0], "/tmp/wazn-test-XXXXXX");
    if (!mkdtemp(path)) {
        perror("mkdtemp");
        abort();
    }
    if (n_folders++ == 0)
        atexit(remove_folders);
    return path;
}

const char *test_program(void)
{
    const char *path = getenv("WAZN_TEST_BINARY");
    if (!path) {
        puts("WAZN_TEST_BINARY is not set: run through `meson test`");
        abort();
    }
    return path;
}

void test_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || (size && fwrite(data, 1, size, f) != size) || fclose(f) != 0) {
        perror(path);
        abort();
    }
}
