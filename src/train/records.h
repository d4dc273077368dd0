/* SPDX-License-Identifier: Apache-2.0 */
/* Files of training data, found and cut into records, one after another in memory: .txt (a record is the whole text, or
 * what stands between separators), .jsonl (a line) and .json (an element of one array, or objects behind each other),
 * each also packed as .gz or .zst. Every record is whole UTF-8; a record of JSON is not parsed yet. */
#ifndef WAZN_TRAIN_RECORDS_H
#define WAZN_TRAIN_RECORDS_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORDS_BYTES_MAX ((size_t)1 << 30) /* of a record */

struct records_options {
    bool texts;            /* .txt files too; else they are refused, and in folders passed over */
    const char *separator; /* of the records of a text: "\n\n"; NULL: none */
    size_t bytes_max;      /* of a record; 0: RECORDS_BYTES_MAX, which is the most */
    /* Called now and then with bytes of the files, packed as they are; false stops with ERROR_CANCELLED. */
    bool (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

struct record {
    const char *file; /* valid as long as the records are open */
    uint64_t line;    /* it begins in, from 1 */
    bool json;
    const char *data; /* (n), valid until the next record */
    size_t n;
};

struct records;

/* paths: files, and folders whose files of these kinds are read in the order of their names, folders in them too.
 * ERROR_NOT_FOUND, ERROR_UNSUPPORTED for a file of another kind, ERROR_USAGE where a folder holds none. */
int records_open(struct records **out, const char *const *paths, size_t n, const struct records_options *options,
    struct error *err);
void records_close(struct records *r);

/* The next record: 1, or 0 behind the last, or an error that names file and line. Records of white space alone are
 * passed over. Behind an error there is nothing. */
int records_next(struct records *r, struct record *out, struct error *err);
/* From the first file on again. */
void records_rewind(struct records *r);

/* Parse a record of JSON; what is no object is refused. The error names file and line. */
int record_parse_new(json_t **out, const struct record *record, struct error *err);

#endif
