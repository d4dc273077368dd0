/* SPDX-License-Identifier: Apache-2.0 */
/* Every option of every command, once, as data: parsing, help, suggestions and the checks of ranges follow from this
 * table. A word means the same thing in every command that takes it. */
#ifndef WAZN_CLI_OPTION_H
#define WAZN_CLI_OPTION_H

#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_WHOLE,
    OPTION_REAL,
    OPTION_CHOICE,
    OPTION_LIST, /* a text that may be given many times: args->list */
};
enum option_group {
    GROUP_MODEL,
    GROUP_TEXT,
    GROUP_SAMPLING,
    GROUP_MEASURE,
    GROUP_TRAINING,
    GROUP_OUTPUT,
    GROUP_GENERAL,
    GROUP_COUNT
};

#define OPTION_LIST_MAX 1024

#define OPTION_SEED_MAX 9007199254740991.0 /* whole numbers that JSON readers keep exact */

/* id, long name, letter, kind, argument's name (of a choice: its words), lowest, highest, group, help */
#define OPTIONS(X) \
    X(model, "model", 'm', OPTION_TEXT, "MODEL", 0, 0, GROUP_MODEL, \
        "a folder, a .gguf or .safetensors file, or a repository name found in the local Hugging Face cache") \
    X(tokenizer, "tokenizer", 0, OPTION_TEXT, "FILE", 0, 0, GROUP_MODEL, \
        "take the tokenizer from this file or folder instead of the model's own") \
    X(chat_format, "chat-format", 0, OPTION_TEXT, "NAME", 0, 0, GROUP_MODEL, \
        "write messages in this format instead of the one recognised from the model's template") \
    X(adapter, "adapter", 0, OPTION_LIST, "FOLDER[:SCALE]", 0, 0, GROUP_MODEL, \
        "compute with this adapter beside the model (LoRA, rsLoRA or DoRA, as PEFT writes it), SCALE times as strong " \
        "(1); may be repeated") \
    X(ctx, "ctx", 'c', OPTION_WHOLE, "N", 1, 16777216, GROUP_MODEL, \
        "positions to keep memory for; the plan on standard error shows what was chosen") \
    X(kv, "kv", 0, OPTION_CHOICE, "f16|bf16|q8_0|f32", 0, 0, GROUP_MODEL, "how keys and values are stored (f16)") \
    X(threads, "threads", 't', OPTION_WHOLE, "N", 1, 1024, GROUP_MODEL, "threads (one per core)") \
    X(cpu, "cpu", 0, OPTION_CHOICE, "c|avx2|avx512|neon|best", 0, 0, GROUP_MODEL, \
        "most modern instructions to use; c is the reference (best)") \
    X(force, "force", 0, OPTION_FLAG, NULL, 0, 0, GROUP_MODEL, \
        "go on although the memory plan does not fit the memory that is available") \
    X(max_tokens, "max-tokens", 'n', OPTION_WHOLE, "N", 0, 16777216, GROUP_TEXT, \
        "stop after N tokens (until the model ends or the context is full)") \
    X(raw, "raw", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TEXT, \
        "no chat format: the model continues the text; an empty text starts from BOS") \
    X(system, "system", 0, OPTION_TEXT, "TEXT", 0, 0, GROUP_TEXT, "the system message") \
    X(reasoning, "reasoning", 0, OPTION_CHOICE, "none|minimal|low|medium|high", 0, 0, GROUP_TEXT, \
        "how much the model shall think (its own default); what it cannot be told is said on standard error") \
    X(reasoning_budget, "reasoning-budget", 0, OPTION_WHOLE, "N", 0, 16777216, GROUP_TEXT, \
        "end the thoughts after N tokens and open the answer (no limit)") \
    X(show_reasoning, "show-reasoning", 0, OPTION_CHOICE, "dim|plain|hidden", 0, 0, GROUP_TEXT, \
        "how thoughts appear on standard error (dim on a terminal, else plain; hidden with --quiet)") \
    X(date, "date", 0, OPTION_TEXT, "DATE", 0, 0, GROUP_TEXT, \
        "the date the model is told, where its format tells one (harmony: today, as 2025-06-28); none: no date") \
    X(tools, "tools", 0, OPTION_TEXT, "FILE", 0, 0, GROUP_TEXT, \
        "functions the model may call, with the commands that do what they say") \
    X(free_headers, "free-headers", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TEXT, \
        "sample message headers as the model will, not by their grammar (harmony); broken ones are mended") \
    X(json_schema, "json-schema", 0, OPTION_TEXT, "FILE", 0, 0, GROUP_TEXT, \
        "the answer is JSON that is valid under the schema in FILE, and nothing else") \
    X(special, "special", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TEXT, \
        "text that spells a special token becomes that token (never for text you do not trust)") \
    X(bos, "bos", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TEXT, "put the beginning-of-sequence token in front") \
    X(file, "file", 'f', OPTION_TEXT, "FILE", 0, 0, GROUP_TEXT, "read the text from a file") \
    X(decode, "decode", 0, OPTION_TEXT, "IDS", 0, 0, GROUP_TEXT, \
        "the other way: ids, separated by blanks or commas (- reads them), to text") \
    X(tokens, "tokens", 0, OPTION_TEXT, "IDS", 0, 0, GROUP_TEXT, "token ids, separated by commas or blanks") \
    X(load, "load", 0, OPTION_TEXT, "FILE", 0, 0, GROUP_TEXT, "go on with a conversation saved with /save") \
    X(no_history, "no-history", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TEXT, \
        "do not remember the lines typed for the next time") \
    X(temp, "temp", 0, OPTION_REAL, "T", 0, 100, GROUP_SAMPLING, "temperature; 0 always takes the likeliest token") \
    X(top_k, "top-k", 0, OPTION_WHOLE, "N", 0, 16777216, GROUP_SAMPLING, "the N likeliest tokens only; 0: off") \
    X(top_p, "top-p", 0, OPTION_REAL, "P", 0, 1, GROUP_SAMPLING, \
        "the likeliest tokens that together reach probability P; 1: off") \
    X(min_p, "min-p", 0, OPTION_REAL, "P", 0, 1, GROUP_SAMPLING, \
        "tokens at least P times as likely as the likeliest; 0: off") \
    X(typical, "typical", 0, OPTION_REAL, "P", 0, 1, GROUP_SAMPLING, \
        "locally typical tokens that together reach probability P; 1: off") \
    X(repetition_penalty, "repetition-penalty", 0, OPTION_REAL, "X", 0.01, 100, GROUP_SAMPLING, \
        "divide the logits of tokens seen in prompt or answer (multiply negative ones); 1: off") \
    X(presence_penalty, "presence-penalty", 0, OPTION_REAL, "X", -100, 100, GROUP_SAMPLING, \
        "subtract X from tokens the answer already has; 0: off") \
    X(frequency_penalty, "frequency-penalty", 0, OPTION_REAL, "X", -100, 100, GROUP_SAMPLING, \
        "subtract X for each time the answer has the token; 0: off") \
    X(logit_bias, "logit-bias", 0, OPTION_TEXT, "ID=X,...", 0, 0, GROUP_SAMPLING, \
        "add X to the logits of tokens; -inf forbids one") \
    X(seed, "seed", 's', OPTION_WHOLE, "S", 0, OPTION_SEED_MAX, GROUP_SAMPLING, \
        "same seed, same text (else drawn, and shown)") \
    X(prompt_tokens, "prompt-tokens", 'p', OPTION_WHOLE, "N", 1, 16777216, GROUP_MEASURE, \
        "prompts of N tokens (512, or what the model holds)") \
    X(depth, "depth", 0, OPTION_WHOLE, "N", 0, 16777216, GROUP_MEASURE, \
        "generate behind N tokens that are in the cache already (0)") \
    X(batch, "batch", 'b', OPTION_WHOLE, "N", 0, 1024, GROUP_MEASURE, \
        "sequences that generate together; 0: do not measure it (16)") \
    X(rounds, "rounds", 'r', OPTION_WHOLE, "N", 1, 1000, GROUP_MEASURE, "measure N times (3)") \
    X(config, "config", 0, OPTION_TEXT, "FILE", 0, 0, GROUP_TRAINING, \
        "what to make: a config.json, of which model_type and sizes are enough") \
    X(steps, "steps", 0, OPTION_WHOLE, "N", 1, 1000000000, GROUP_TRAINING, "steps of the optimizer (--epochs)") \
    X(epochs, "epochs", 0, OPTION_REAL, "N", 0.0001, 100000, GROUP_TRAINING, "how often all data are seen (1)") \
    X(batch_tokens, "batch-tokens", 0, OPTION_WHOLE, "N", 1, 1000000000, GROUP_TRAINING, \
        "tokens of a step (4 passes of the longest sample)") \
    X(pass_tokens, "pass-tokens", 0, OPTION_WHOLE, "N", 1, 16777216, GROUP_TRAINING, \
        "tokens that go through the model at once; a step adds up as many passes as it takes (the longest sample)") \
    X(length, "length", 0, OPTION_WHOLE, "N", 2, 16777216, GROUP_TRAINING, \
        "tokens of a sample at most (512, or what the model holds)") \
    X(optimizer, "optimizer", 0, OPTION_CHOICE, "adamw|muon", 0, 0, GROUP_TRAINING, \
        "what moves the weights (adamw); muon: matrices by orthogonalised momentum, the rest by adamw") \
    X(lr, "lr", 0, OPTION_REAL, "X", 0, 100, GROUP_TRAINING, "highest learning rate") \
    X(min_lr, "min-lr", 0, OPTION_REAL, "X", 0, 100, GROUP_TRAINING, \
        "learning rate of the last step (a tenth of --lr)") \
    X(schedule, "schedule", 0, OPTION_CHOICE, "cosine|linear|wsd|constant", 0, 0, GROUP_TRAINING, \
        "how the learning rate falls behind the warm-up (cosine); wsd: constant, then linear in the last fifth") \
    X(warmup, "warmup", 0, OPTION_WHOLE, "N", 0, 1000000000, GROUP_TRAINING, \
        "steps in which the learning rate rises (100, or a tenth of the steps)") \
    X(weight_decay, "weight-decay", 0, OPTION_REAL, "X", 0, 100, GROUP_TRAINING, \
        "share of every matrix taken off per step, times the learning rate") \
    X(decay_embeddings, "decay-embeddings", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, \
        "embeddings and the output matrix decay too") \
    X(beta1, "beta1", 0, OPTION_REAL, "X", 0, 0.99999, GROUP_TRAINING, "AdamW's mean of gradients (0.9)") \
    X(beta2, "beta2", 0, OPTION_REAL, "X", 0, 0.999999, GROUP_TRAINING, "AdamW's mean of their squares (0.95)") \
    X(eps, "eps", 0, OPTION_REAL, "X", 1e-30, 1, GROUP_TRAINING, "added to AdamW's root (1e-8)") \
    X(momentum, "momentum", 0, OPTION_REAL, "X", 0, 0.99999, GROUP_TRAINING, "of Muon (0.95)") \
    X(clip, "clip", 0, OPTION_REAL, "X", 0, 1e9, GROUP_TRAINING, \
        "largest norm of all gradients together; 0: not clipped (1)") \
    X(precision, "precision", 0, OPTION_CHOICE, "f32|bf16", 0, 0, GROUP_TRAINING, \
        "what products are computed in; weights are kept as float32 either way (bf16 where the processor has it)") \
    X(recompute, "recompute", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, \
        "keep less between forward and backward and compute it again: less memory, the same gradients, more time") \
    X(validation, "validation", 0, OPTION_REAL, "SHARE", 0, 0.9, GROUP_TRAINING, \
        "share of the data that is held out and measured (0.02)") \
    X(validate_every, "validate-every", 0, OPTION_WHOLE, "N", 0, 1000000000, GROUP_TRAINING, \
        "measure it every N steps; 0: at the end only (a tenth of the steps)") \
    X(checkpoint_every, "checkpoint-every", 0, OPTION_WHOLE, "N", 0, 1000000000, GROUP_TRAINING, \
        "write a checkpoint every N steps; 0: at the end only (a tenth of the steps)") \
    X(keep_checkpoints, "keep-checkpoints", 0, OPTION_WHOLE, "N", 1, 4000, GROUP_TRAINING, \
        "checkpoints that stay, besides the one of the best validation (2)") \
    X(sample_every, "sample-every", 0, OPTION_WHOLE, "N", 0, 1000000000, GROUP_TRAINING, \
        "let the model write something every N steps; 0: never (a tenth of the steps)") \
    X(sample_prompt, "sample-prompt", 0, OPTION_TEXT, "TEXT", 0, 0, GROUP_TRAINING, "what it goes on from (nothing)") \
    X(separator, "separator", 0, OPTION_TEXT, "TEXT", 0, 0, GROUP_TRAINING, \
        "what stands between the documents of a .txt file, \\n for a line end (a file is one document)") \
    X(objective, "objective", 0, OPTION_CHOICE, "sft|dpo|orpo|grpo", 0, 0, GROUP_TRAINING, \
        "sft: say what the data say; dpo, orpo: prefer the chosen of two answers; grpo: what is rewarded (sft)") \
    X(reward, "reward", 0, OPTION_TEXT, "SPEC", 0, 0, GROUP_TRAINING, \
        "what answers are rewarded for: exact, numeric, format, json, with weights as numeric,format:0.2, or JSON") \
    X(group, "group", 0, OPTION_WHOLE, "N", 2, 4096, GROUP_TRAINING, "answers to each prompt (8)") \
    X(prompts, "prompts", 0, OPTION_WHOLE, "N", 1, 4096, GROUP_TRAINING, "prompts of a step (8)") \
    X(advantage, "advantage", 0, OPTION_CHOICE, "group|batch|none", 0, 0, GROUP_TRAINING, \
        "a reward's distance from its group's mean is divided by the deviation of its group, of all, or by nothing") \
    X(token_mean, "token-mean", 0, OPTION_CHOICE, "completions|tokens|length", 0, 0, GROUP_TRAINING, \
        "losses of tokens are divided by their answer's length (GRPO), all tokens (DAPO), --max-tokens (Dr. GRPO)") \
    X(ratio, "ratio", 0, OPTION_CHOICE, "token|sequence", 0, 0, GROUP_TRAINING, \
        "importance ratios of tokens, or of whole answers (token)") \
    X(epsilon_low, "epsilon-low", 0, OPTION_REAL, "X", 0, 1, GROUP_TRAINING, "ratios are clipped below 1 - X (0.2)") \
    X(epsilon_high, "epsilon-high", 0, OPTION_REAL, "X", 0, 100, GROUP_TRAINING, "and above 1 + X (0.2)") \
    X(drop_equal, "drop-equal", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, \
        "groups whose answers are all rewarded alike take no part") \
    X(mask_cut, "mask-cut", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, "answers cut by --max-tokens take no part") \
    X(preference_loss, "preference-loss", 0, OPTION_CHOICE, "sigmoid|robust|hinge|ipo", 0, 0, GROUP_TRAINING, \
        "of dpo (sigmoid)") \
    X(beta, "beta", 0, OPTION_REAL, "X", 0, 1000, GROUP_TRAINING, \
        "how near dpo stays to the model it began with; orpo: weight of the preference (0.1)") \
    X(label_smoothing, "label-smoothing", 0, OPTION_REAL, "P", 0, 0.49, GROUP_TRAINING, \
        "share of pairs that may be the wrong way round (0)") \
    X(pairs, "pairs", 0, OPTION_WHOLE, "N", 1, 1000000, GROUP_TRAINING, "pairs of a step (8)") \
    X(method, "method", 0, OPTION_CHOICE, "lora|full", 0, 0, GROUP_TRAINING, \
        "what learns: a low-rank adapter beside the matrices, or all weights (lora)") \
    X(rank, "rank", 0, OPTION_WHOLE, "N", 1, 4096, GROUP_TRAINING, "of the adapter's matrices (16)") \
    X(alpha, "alpha", 0, OPTION_REAL, "X", 0.0001, 1000000, GROUP_TRAINING, \
        "what the adapter adds is multiplied by alpha / rank (twice the rank)") \
    X(targets, "targets", 0, OPTION_TEXT, "NAMES", 0, 0, GROUP_TRAINING, \
        "matrices with an adapter: attention, mlp, experts, all, or names as q,v (all)") \
    X(dora, "dora", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, "the lengths of rows are learned apart (DoRA)") \
    X(dropout, "dropout", 0, OPTION_REAL, "P", 0, 0.95, GROUP_TRAINING, \
        "share of an adapter's inputs that are left out at random in each step (0)") \
    X(rslora, "rslora", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, "alpha / sqrt(rank) instead of alpha / rank") \
    X(preview, "preview", 0, OPTION_WHOLE, "N", 0, 1000000, GROUP_TRAINING, \
        "show the first N samples with what would be learned of them, and train nothing") \
    X(data_form, "data-form", 0, OPTION_CHOICE, "auto|chat|completion|text|preference|prompt", 0, 0, GROUP_TRAINING, \
        "what records are (told by their keys)") \
    X(too_long, "too-long", 0, OPTION_CHOICE, "skip|cut|fail", 0, 0, GROUP_TRAINING, \
        "samples above --length are left out and named, learned without their end, or an error (skip)") \
    X(last_turn, "last-turn", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, \
        "learn the last answer of a conversation alone (all of them)") \
    X(skip_reasoning, "skip-reasoning", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, \
        "thoughts are read but not learned") \
    X(held_out, "held-out", 0, OPTION_TEXT, "FILE", 0, 0, GROUP_TRAINING, \
        "data that are measured now and then, and not learned (--validation of all)") \
    X(resume, "resume", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, \
        "go on from the newest checkpoint in the output folder; the same options and data are needed") \
    X(vocabulary, "vocabulary", 0, OPTION_WHOLE, "N", 256, 16777216, GROUP_TRAINING, \
        "ids, with the 256 bytes and the special tokens (32000)") \
    X(pattern, "pattern", 0, OPTION_CHOICE, "gpt2|cl100k|o200k|llama3|qwen2|qwen35|tekken", 0, 0, GROUP_TRAINING, \
        "how text is cut into pieces that tokens never cross, named after a model that does so (gpt2)") \
    X(digits, "digits", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, "every digit is a piece of its own") \
    X(prefix_space, "prefix-space", 0, OPTION_FLAG, NULL, 0, 0, GROUP_TRAINING, \
        "a text that does not begin with a space gets one in front (gpt2's pattern only)") \
    X(min_frequency, "min-frequency", 0, OPTION_WHOLE, "N", 0, OPTION_SEED_MAX, GROUP_TRAINING, \
        "pairs that occur less than N times make no token (2)") \
    X(token_length, "token-length", 0, OPTION_WHOLE, "N", 2, 4097, GROUP_TRAINING, \
        "tokens of two bytes and more have less than N bytes (no limit)") \
    X(special_token, "special-token", 0, OPTION_LIST, "TEXT", 0, 0, GROUP_TRAINING, \
        "a token that marks something, as <|endoftext|>; may be given many times; the first one has id 0") \
    X(layers, "layers", 0, OPTION_FLAG, NULL, 0, 0, GROUP_OUTPUT, \
        "also what the model holds behind every layer, keys and values in f32: what selftest --reference reads") \
    X(reference, "reference", 0, OPTION_TEXT, "FILE", 0, 0, GROUP_TEXT, \
        "compare every layer with this file, made by wazn logits --layers or tools/golden/trace.py") \
    X(sha256, "sha256", 0, OPTION_FLAG, NULL, 0, 0, GROUP_OUTPUT, "SHA-256 of every weight file") \
    X(output, "output", 'o', OPTION_TEXT, "FILE", 0, 0, GROUP_OUTPUT, "write to this file") \
    X(to, "to", 0, OPTION_TEXT, "FORMAT", 0, 0, GROUP_OUTPUT, \
        "the format of the matrices, or a recipe of several: q8_0, q6_k, q5_k_m, q4_k_m, q4_0, mxfp4, bf16 ...") \
    X(keep, "keep", 0, OPTION_TEXT, "RULES", 0, 0, GROUP_OUTPUT, \
        "formats of single tensors, as output=q8_0,blk.0.*: names or roles, * for any text; without =, as they are") \
    X(calibrate, "calibrate", 0, OPTION_TEXT, "FILE", 0, 0, GROUP_OUTPUT, \
        "run this text through the model: what it multiplies by much is rounded with more care, the loss is measured") \
    X(calibrate_tokens, "calibrate-tokens", 0, OPTION_WHOLE, "N", 2, 16777216, GROUP_OUTPUT, \
        "use the first N tokens of that text (4096)") \
    X(loss, "loss", 0, OPTION_REAL, "KL", 1e-9, 100, GROUP_OUTPUT, \
        "search the smallest mix of formats whose mean KL divergence on the text is at most KL") \
    X(json, "json", 0, OPTION_FLAG, NULL, 0, 0, GROUP_OUTPUT, "one JSON object (tokenize: array) on standard output") \
    X(quiet, "quiet", 'q', OPTION_FLAG, NULL, 0, 0, GROUP_OUTPUT, "no plan, statistics or progress") \
    X(help, "help", 'h', OPTION_FLAG, NULL, 0, 0, GROUP_GENERAL, "this text")

enum option_id {
#define X(id, name, letter, kind, argument, low, high, group, help) OPT_##id,
    OPTIONS(X)
#undef X
    OPT_COUNT
};

struct option {
    const char *name;
    char letter; /* 0: none */
    enum option_kind kind;
    const char *argument;
    double low, high;
    enum option_group group;
    const char *help;
};

extern const struct option options[OPT_COUNT];

struct option_value {
    bool set;
    const char *text; /* as typed, borrowed from argv */
    long long whole;
    double real;
};

struct command;

struct arguments {
    const struct command *command;
    struct option_value at[OPT_COUNT]; /* args->at[OPT_temp] */
    const char *word;                  /* the command's one free word (PROMPT, TEXT); NULL: not given */
    const char **words;                /* (n_words) free words where the command takes many; in argv */
    size_t n_words;
    const char *list[OPTION_LIST_MAX]; /* (n_list) values of the OPTION_LIST the command takes */
    int n_list;
};

/* A command: its words for people, the options it takes, and what it does. */
struct command {
    const char *name, *summary;
    const char *usage;           /* behind "wazn NAME " */
    const char *about;           /* paragraphs of help; may be NULL */
    bool takes_word;             /* one free word */
    bool takes_words;            /* any number of them */
    const enum option_id *takes; /* ends with OPT_COUNT */
    const char *const *examples; /* each "command line\0what it does" as two entries; ends with NULL */
    int (*run)(const struct arguments *args, struct error *err);
};

extern const struct command *const commands[]; /* ends with NULL */

const struct command *command_find(const char *name); /* NULL: none */

/* Parse what follows the command's name. ERROR_USAGE with a suggestion for a misspelt option. */
int option_parse(struct arguments *args, const struct command *command, int argc, char **argv, struct error *err);

/* The nearest command name to a misspelt one, or NULL. */
const char *command_suggest(const char *name);

void help_program(FILE *out);
void help_command(FILE *out, const struct command *command);

#endif
