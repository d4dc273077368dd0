/* SPDX-License-Identifier: Apache-2.0 */
/* wazn quantize: a model in fewer bits. */
#include "cli/command.h"
#include "cli/publishing.h"

static int run(const struct arguments *args, struct error *err)
{
    const struct option_value *at = args->at;
    const struct recipe *recipe = NULL;
    if (!at[OPT_to].set && !at[OPT_loss].set)
        return error_set(err, ERROR_USAGE, "wazn quantize needs --to FORMAT, or --loss KL with --calibrate FILE");
    if (at[OPT_to].set && at[OPT_loss].set)
        return error_set(err, ERROR_USAGE, "--to names the formats, --loss searches them: give one of the two");
    if (at[OPT_loss].set && !at[OPT_calibrate].set)
        return error_set(err, ERROR_USAGE, "--loss is measured on a text: --calibrate FILE");
    int rc = publishing_recipe(&recipe, args, err);
    return rc ? rc : publishing_run(args, recipe, err);
}

static const enum option_id takes[] = { OPT_model, OPT_output, OPT_to, OPT_keep, OPT_calibrate, OPT_calibrate_tokens,
    OPT_loss, OPT_tokenizer, OPT_threads, OPT_cpu, OPT_json, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn quantize -m MODEL --to q8_0 -o out.gguf",
    "half the size of bf16, hardly a loss",
    "wazn quantize -m MODEL --to q4_k_m --calibrate text.txt -o out.gguf",
    "rounded with care for what the text uses, with the loss measured and stored in the file",
    "wazn quantize -m MODEL --to q4_k_m --keep output=q8_0,blk.0.* -o out.gguf",
    "the output matrix in q8_0, the first layer as it is",
    "wazn quantize -m MODEL --loss 0.02 --calibrate text.txt -o out.gguf",
    "the smallest mix of formats that loses at most that much", NULL };

const struct command command_quantize = {
    .name = "quantize",
    .summary = "write a model in fewer bits, and tell what that loses",
    .usage = "-m MODEL --to FORMAT -o OUT.gguf",
    .about = "The output appears when it is whole, and has been opened and compared. What is stored in fewer bits "
             "already (MXFP4 experts) stays. wazn inspect shows the loss that a file keeps of itself.",
    .takes = takes,
    .examples = examples,
    .run = run,
};
