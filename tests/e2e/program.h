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

enum made_chat { MADE_NONE, MADE_CHATML, MADE_QWEN3, MADE_HARMONY };

/* A llama with made weights over single bytes (ids 0 to 255) and 256 <|endoftext|> (BOS), then the control tokens of
 * its chat format: ChatML's 257 <|im_start|>, 258 <|im_end|> (EOS), which a model without a format has too; or
 * harmony's, from 257 on in the order start, channel, constrain, message, end, return (EOS), call. window: all layers
 * see that many positions (it is a Mistral then). */
struct made_model {
    int layers, dim, ffn, context;
    enum made_chat chat;
    int window;
};
#define MADE_VOCABULARY 259 /* of those without harmony */
#define MADE_HARMONY_VOCABULARY 264
enum { MADE_START = 257, MADE_CHANNEL, MADE_CONSTRAIN, MADE_MESSAGE, MADE_END, MADE_RETURN, MADE_CALL };
const char *make_model(const struct made_model *made); /* its folder; lives until the program ends */

/* What a scripted model says behind `position` tokens; control tokens as they are spelled. */
struct made_line {
    int position;
    const char *text;
};
/* A GPT-2 over the same vocabulary whose likeliest token depends on the position alone: --temp 0 makes it say its
 * lines. Elsewhere it repeats the last token. */
const char *make_scripted(enum made_chat chat, const struct made_line *lines, size_t n);
#define MADE_SCRIPT_CONTEXT 4096

#endif
