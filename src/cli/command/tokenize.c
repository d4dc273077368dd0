/* SPDX-License-Identifier: Apache-2.0 */
/* wazn tokenize: text to ids and back. Needs a vocabulary, no weights. */
#include "cli/command.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/terminal.h"

#include "base/filemap.h"

#include <stdlib.h>
#include <string.h>

static int print_ids(const struct tokens *ids, bool json, struct error *err)
{
    if (json) {
        json_t *array = json_array();
        for (size_t i = 0; i < ids->used; i++)
            json_array_append_new(array, json_integer(ids->ids[i]));
        return json_print(array, err);
    }
    for (size_t i = 0; i < ids->used; i++)
        printf(i ? " %d" : "%d", ids->ids[i]);
    putchar('\n');
    return 0;
}

static int encode(const struct loaded *l, const struct buffer *text, struct error *err)
{
    const struct option_value *at = l->args->at;
    unsigned flags = (at[OPT_bos].set ? TOKENIZE_BOS : 0) | (at[OPT_special].set ? TOKENIZE_SPECIAL : 0);
    struct tokens ids = { 0 };
    int rc = tokenizer_encode(l->tokenizer, text->data ? text->data : "", text->used, flags, &ids, err);
    if (rc == 0 && at[OPT_bos].set && tokenizer_special(l->tokenizer, TOKEN_BOS) < 0)
        rc = error_set(err, ERROR_USAGE, "--bos: the vocabulary has no BOS");
    if (rc == 0)
        rc = print_ids(&ids, at[OPT_json].set, err);
    tokens_release(&ids);
    return rc;
}

/* The bytes as they are, without a line end behind them, so that a round trip gives the same file. */
static int print_text(const struct buffer *text, bool json, struct error *err)
{
    const char *bytes = text->data ? text->data : "";
    if (json)
        return json_print(json_string_new(bytes, text->used), err);
    if (!terminal_is(stdout)) {
        fwrite(bytes, 1, text->used, stdout);
        return 0;
    }
    struct buffer clean = { 0 };
    terminal_clean(&clean, bytes, text->used);
    int rc = buffer_check(&clean, "the text", err);
    if (rc == 0)
        puts(clean.data ? clean.data : "");
    buffer_release(&clean);
    return rc;
}

static int decode(const struct loaded *l, struct error *err)
{
    const struct option_value *at = l->args->at;
    struct buffer typed = { 0 }, text = { 0 };
    struct tokens ids = { 0 };
    int rc = text_read(&typed, at[OPT_decode].text, err);
    if (rc == 0)
        rc = ids_read(&ids, typed.data ? typed.data : "", err);
    if (rc == 0)
        rc = tokenizer_decode(l->tokenizer, ids.ids, ids.used, at[OPT_special].set, &text, err);
    if (rc == 0)
        rc = print_text(&text, at[OPT_json].set, err);
    buffer_release(&typed);
    buffer_release(&text);
    tokens_release(&ids);
    return rc;
}

static int read_text(const struct arguments *args, struct buffer *text, struct error *err)
{
    if (!args->at[OPT_file].set)
        return text_read(text, args->word, err);
    char *data;
    size_t size;
    int rc = file_read_new(&data, &size, args->at[OPT_file].text, INPUT_BYTES_MAX, err);
    if (rc)
        return rc;
    buffer_add(text, data, size);
    free(data);
    return buffer_check(text, "the text", err);
}

static int check_words(const struct arguments *args, struct error *err)
{
    int given = (args->word != NULL) + args->at[OPT_file].set + args->at[OPT_decode].set;
    if (given == 1)
        return 0;
    return error_set(err, ERROR_USAGE, "wazn tokenize takes one of TEXT, -, --file FILE and --decode IDS; %d are given",
        given);
}

/* A tokenizer file can be named alone: then no model is opened. */
static int open_tokenizer(struct loaded *l, const struct arguments *args, struct error *err)
{
    if (args->at[OPT_model].set || !args->at[OPT_tokenizer].set) {
        int rc = loaded_source(l, args, err);
        return rc ? rc : loaded_tokenizer(l, err);
    }
    *l = (struct loaded) { .args = args };
    return loaded_tokenizer(l, err);
}

static int run(const struct arguments *args, struct error *err)
{
    struct loaded l = { 0 };
    struct buffer text = { 0 };
    int rc = check_words(args, err);
    if (rc == 0)
        rc = open_tokenizer(&l, args, err);
    if (rc == 0 && args->at[OPT_decode].set)
        rc = decode(&l, err);
    else if (rc == 0) {
        rc = read_text(args, &text, err);
        if (rc == 0)
            rc = encode(&l, &text, err);
    }
    buffer_release(&text);
    loaded_close(&l);
    return rc;
}

static const enum option_id takes[] = { OPT_model, OPT_tokenizer, OPT_bos, OPT_special, OPT_file, OPT_decode, OPT_json,
    OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn tokenize -m MODEL \"Hello, world\"", "ids on one line",
    "wazn tokenize -m MODEL --special \"<|im_start|>user\"", "control tokens count where they are spelled",
    "wazn tokenize --tokenizer tokenizer.model --file book.txt | wc -w", "how many tokens a file has",
    "wazn tokenize -m MODEL --decode \"15496 11 995\"", "ids back to text", NULL };

const struct command command_tokenize = {
    .name = "tokenize",
    .summary = "text to token ids, and back",
    .usage = "-m MODEL [--bos] [--special] [--json] (TEXT | --file F | - | --decode IDS)",
    .about = "Ids on one line, separated by blanks. Text that spells a special token is plain text unless --special is "
             "given; with --decode, --special shows special tokens instead of leaving them out. A GGUF file that holds "
             "only a vocabulary will do.",
    .takes_word = true,
    .takes = takes,
    .examples = examples,
    .run = run,
};
