/* SPDX-License-Identifier: Apache-2.0 */
/* The files of one model, opened and checked, whatever their form: a Hugging Face folder (safetensors, sharded or not),
 * one .safetensors file, a GGUF file (split or not), a llama2.c checkpoint (.bin). Tensors are views of mapped memory.
 * Spec: safetensors README, ggml docs/gguf.md. */
#ifndef WAZN_FILE_SOURCE_H
#define WAZN_FILE_SOURCE_H

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "tensor/format.h"

#include <stddef.h>
#include <stdint.h>

#define FILE_DIMS_MAX 8

struct file_tensor {
    const char *name;
    const char *type_name;       /* as the file says it: "BF16", "Q4_K", "I64" */
    const struct format *format; /* NULL: a type nothing here computes with */
    int dims;
    int64_t shape[FILE_DIMS_MAX]; /* slowest first, as PyTorch prints it (GGUF's order is reversed on reading) */
    const void *data;             /* mapped (copied where no load could read it in place); NULL for an empty tensor */
    uint64_t bytes;
};

enum source_kind { SOURCE_SAFETENSORS, SOURCE_GGUF, SOURCE_LLAMA2C };

struct source;
struct gguf;

/* Open what a person names with -m: a folder, a .gguf, .safetensors or .bin file, or a repository name ("org/name")
 * found in the local Hugging Face cache (hf_cache: its hub folder, or NULL for none). */
int source_open(struct source **out, const char *name, const char *hf_cache, const struct log *log, struct error *err);
void source_close(struct source *s);

enum source_kind source_kind(const struct source *s);
const char *source_path(const struct source *s);   /* the file or folder opened, after resolving */
const char *source_folder(const struct source *s); /* where companions (tokenizer, template, licence) are looked for */
const struct gguf *source_gguf(const struct source *s); /* NULL unless SOURCE_GGUF; the first file of a split */

size_t source_file_count(const struct source *s); /* files that hold weights: one, or all shards */
const char *source_file(const struct source *s, size_t i, uint64_t *bytes); /* path and size */

size_t source_tensor_count(const struct source *s);
const struct file_tensor *source_tensor(const struct source *s, size_t i);
const struct file_tensor *source_find(const struct source *s, const char *name); /* NULL: not there */

/* The model's numbers under Hugging Face's config.json keys, also when they came from GGUF metadata or a llama2.c
 * header. Borrowed. An empty object for a GGUF that holds only a vocabulary. */
const json_t *source_config(const struct source *s);
/* generation_config.json, or what GGUF says under general.sampling and its stop tokens, same keys; NULL: none. */
const json_t *source_generation(const struct source *s);
/* The chat template's text (chat_template.jinja, tokenizer_config.json, GGUF), or NULL. */
const char *source_chat_template(const struct source *s);

#endif
