/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors: reading with every rule of the reference, and writing. Spec: safetensors README. */
#ifndef WAZN_FILE_SAFETENSORS_H
#define WAZN_FILE_SAFETENSORS_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "file/source.h"

#include <stddef.h>

struct table;

#define SAFETENSORS_HEADER_MAX 100000000u

/* Add the tensors of one file, in the order of their bytes, as views of `data`, which must outlive the table. `path`
 * names the file in errors. A dtype that is not known is kept (format NULL, its name as the file says it); a known one
 * must agree with shape and bytes. */
int safetensors_read(struct table *tensors, const void *data, size_t size, const char *path, struct error *err);

/* The "__metadata__" of a file, an object of strings; an empty object where it has none. The caller releases it. */
int safetensors_metadata_new(json_t **out, const void *data, size_t size, const char *path, struct error *err);

/* Write a file whole or not at all. Of each tensor name, type_name (a dtype: "F32"), dims, shape, data and bytes are
 * used; metadata: an object of strings, or NULL. Tensors are laid out by descending dtype, then by name, as the
 * reference does it, so equal content gives equal bytes. ERROR_USAGE where a tensor contradicts itself. */
int safetensors_write(const char *path, const struct file_tensor *tensors, size_t count, const json_t *metadata,
    struct error *err);

/* The beginning of such a file for who writes the data himself: each tensor's at its place in the file. `data` of the
 * tensors is not looked at. */
int safetensors_header(struct buffer *header, uint64_t *places, const struct file_tensor *tensors, size_t count,
    const json_t *metadata, struct error *err);

/* Bits of one value of a dtype; 0: not known. */
unsigned safetensors_bits(const char *dtype);
/* Place in the order of dtypes, which rises with their width; -1: not known. */
int safetensors_rank(const char *dtype);

#endif
