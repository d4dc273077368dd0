/* SPDX-License-Identifier: Apache-2.0 */
#include "file/digest.h"

#include "base/filemap.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP ((uint64_t)4 << 20)

/* Read through a mapping in steps; pages already read are given back, so that a large file does not count as ours. */
static int digest_map(EVP_MD_CTX *md, const struct filemap *map, bool (*progress)(void *, uint64_t, uint64_t),
    void *context, struct error *err)
{
    for (uint64_t at = 0; at < map->size; at += STEP) {
        uint64_t n = map->size - at < STEP ? map->size - at : STEP;
        if (EVP_DigestUpdate(md, map->data + at, n) != 1)
            return error_set(err, ERROR_MEMORY, "could not compute SHA-256");
        madvise((void *)(uintptr_t)(map->data + at), n, MADV_DONTNEED);
        if (progress && !progress(context, at + n, map->size))
            return error_set(err, ERROR_CANCELLED, "stopped");
    }
    return 0;
}

static void write_text(char text[DIGEST_TEXT_SIZE], const unsigned char digest[32])
{
    for (int i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

int digest_bytes(char text[DIGEST_TEXT_SIZE], const void *data, size_t n, struct error *err)
{
    unsigned char digest[32];
    if (EVP_Digest(data, n, digest, NULL, EVP_sha256(), NULL) != 1)
        return error_set(err, ERROR_MEMORY, "could not compute SHA-256");
    write_text(text, digest);
    return 0;
}

int digest_file(char text[DIGEST_TEXT_SIZE], const char *path, bool (*progress)(void *context, uint64_t done,
    uint64_t total), void *context, struct error *err)
{
    struct filemap map;
    unsigned char digest[32];
    int rc = filemap_open(&map, path, err);
    if (rc)
        return rc;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
        rc = error_set(err, ERROR_MEMORY, "could not start SHA-256");
    if (rc == 0)
        rc = digest_map(md, &map, progress, context, err);
    if (rc == 0 && EVP_DigestFinal_ex(md, digest, NULL) != 1)
        rc = error_set(err, ERROR_MEMORY, "could not compute SHA-256");
    EVP_MD_CTX_free(md);
    filemap_close(&map);
    if (rc == 0)
        write_text(text, digest);
    return rc;
}
