/* SPDX-License-Identifier: Apache-2.0 */
/* wazn convert: the same numbers in another kind of file. */
#include "cli/command.h"
#include "cli/publishing.h"

static int run(const struct arguments *args, struct error *err)
{
    const struct recipe *recipe = NULL;
    int rc = publishing_recipe(&recipe, args, err);
    if (rc == 0 && recipe && recipe->format->block > 1)
        rc = error_set(err, ERROR_USAGE, "wazn convert rounds nothing: %s is for wazn quantize", recipe->name);
    return rc ? rc : publishing_run(args, recipe, err);
}

static const enum option_id takes[] = { OPT_model, OPT_output, OPT_to, OPT_keep, OPT_tokenizer, OPT_threads, OPT_cpu,
    OPT_json, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn convert -m FOLDER -o model.gguf", "a Hugging Face folder as GGUF",
    "wazn convert -m model.gguf -o FOLDER", "the other way; MXFP4 experts stay, other blocks need the next line",
    "wazn convert -m model-q8_0.gguf --to bf16 -o FOLDER", "decoded, for programs that read no GGUF", NULL };

const struct command command_convert = {
    .name = "convert",
    .summary = "write a model as GGUF or as a Hugging Face folder, with the same numbers",
    .usage = "-m MODEL -o OUT.gguf|FOLDER",
    .about = "Weights, tokenizer, chat template, ids of special tokens and sampling settings go over. The output is "
             "opened and compared before it appears; what the other kind of file cannot say is an error.",
    .takes = takes,
    .examples = examples,
    .run = run,
};
