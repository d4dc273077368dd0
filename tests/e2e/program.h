/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the built program as a user does, and models made for it. */
#ifndef WAZN_TESTS_E2E_PROGRAM_H
#define WAZN_TESTS_E2E_PROGRAM_H

#include "support.h"

#include "base/buffer.h"
#include "base/json.h"

#include <stdbool.h>
#include <sys/types.h>

struct program {
    pid_t pid;
    int in, out, err;            /* pipes: its standard input, output and error; -1: closed */
    struct buffer output, errors; /* what came, always 0-terminated after program_end */
    int status;                  /* exit status; 128 + signal where one ended it */
    uint64_t peak_rss;           /* bytes */
};

/* Start with these arguments behind the program's name; ends with NULL. HOME is an empty folder. */
void program_start(struct program *p, const char *const *arguments);
void program_write(struct program *p, const char *text);
void program_close_input(struct program *p);
/* Read until standard output (or with `errors` standard error) holds `text`; fails the test after 60 seconds. */
void program_wait_for(struct program *p, bool errors, const char *text);
/* Read until standard output holds `bytes` bytes; the same limit. */
void program_wait_output(struct program *p, size_t bytes);
/* Read everything and wait for the end. */
void program_end(struct program *p);
void program_release(struct program *p);

/* All of it: input may be NULL. Expects `status` and prints what came where it is another. */
void program_run(struct program *p, int status, const char *input, const char *const *arguments);
#define RUN(p, status, input, ...) program_run(p, status, input, (const char *const[]) { __VA_ARGS__, NULL })

json_t *program_json(const struct program *p); /* of standard output */

/* A llama with made weights over single bytes (ids 0 to 255) and 256 <|endoftext|> (BOS), 257 <|im_start|>,
 * 258 <|im_end|> (EOS); with a ChatML template where chat is set. */
struct made_model {
    int layers, dim, ffn, context;
    bool chat;
};
#define MADE_VOCABULARY 259
const char *make_model(const struct made_model *made); /* its folder; lives until the program ends */

#endif
