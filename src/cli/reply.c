/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/reply.h"

#include "base/clock.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>

int reply_render_first(struct loaded *l, const char *system, const struct buffer *user, struct tokens *out,
    struct error *err)
{
    struct chat_message messages[2];
    size_t n = 0;
    if (user->used > 0 && strlen(user->data) != user->used)
        return error_set(err, ERROR_USAGE, "the message holds a zero byte at position %zu", strlen(user->data));
    if (system)
        messages[n++] = (struct chat_message) { .role = "system", .content = system };
    messages[n++] = (struct chat_message) { .role = "user", .content = user->data ? user->data : "" };
    struct chat_request request = { .messages = messages, .n_messages = n, .add_generation_prompt = true };
    return chat_render(l->format, l->tokenizer, &request, out, err);
}

/* Answers go to standard output as they are; a terminal gets nothing it would act on. */
static void show(struct reply *r, FILE *out, bool terminal, const char *bytes, size_t n)
{
    if (terminal || r->clean) {
        struct buffer clean = { 0 };
        terminal_clean(&clean, bytes, n);
        r->failed |= clean.failed || fwrite(clean.data ? clean.data : "", 1, clean.used, out) != clean.used;
        buffer_release(&clean);
    } else {
        r->failed |= fwrite(bytes, 1, n, out) != n;
    }
    r->failed |= fflush(out) != 0;
}

static void take_text(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    struct reply *r = context;
    bool thinks = channel == CHAT_REASONING;
    buffer_add(thinks ? &r->reasoning : &r->answer, bytes, n);
    if (thinks && !r->loaded->args->at[OPT_quiet].set)
        show(r, stderr, true, bytes, n);
    if (!thinks && r->channel == CHAT_REASONING && !r->loaded->args->at[OPT_quiet].set)
        fputs("\n\n", stderr);
    if (!thinks && !r->keep)
        show(r, stdout, r->terminal, bytes, n);
    r->channel = channel;
}

/* The schema is about the answer: its mask sets in where that begins, and thoughts before it are free. */
static int allow(void *context, const uint64_t **mask, struct error *err)
{
    struct reply *r = context;
    (void)err;
    r->constrained = !r->loaded->format || chat_parser_answers(&r->parser);
    *mask = r->constrained ? constraint_mask(r->loaded->constraint) : NULL;
    return 0;
}

static int take_token(void *context, int32_t id, struct error *err)
{
    struct reply *r = context;
    tokens_add(&r->ids, id);
    int rc = tokens_check(&r->ids, err);
    if (rc == 0 && r->constrained)
        rc = constraint_accept(r->loaded->constraint, id, err);
    if (rc)
        return rc;
    if (r->loaded->format) {
        rc = chat_parser_push(&r->parser, id, err);
    } else {
        buffer_clear(&r->piece);
        rc = detokenizer_push(&r->detokenizer, id, &r->piece, err);
        if (rc == 0 && r->piece.used > 0)
            take_text(r, CHAT_ANSWER, r->piece.data, r->piece.used);
    }
    if (rc == 0 && r->failed)
        return error_set(err, ERROR_IO, "could not write standard output");
    return rc;
}

static int finish_text(struct reply *r, struct error *err)
{
    int rc = 0;
    if (r->loaded->format) {
        rc = chat_parser_end(&r->parser, err);
    } else {
        buffer_clear(&r->piece);
        detokenizer_end(&r->detokenizer, &r->piece);
        if (r->piece.used > 0)
            take_text(r, CHAT_ANSWER, r->piece.data, r->piece.used);
    }
    if (!r->keep && r->terminal && r->answer.used > 0 && r->answer.data[r->answer.used - 1] != '\n')
        fputc('\n', stdout);
    return rc;
}

static void begin(struct loaded *l, const struct tokens *prompt, struct reply *r)
{
    r->loaded = l;
    r->terminal = terminal_is(stdout);
    r->prompt_tokens = (int)prompt->used;
    r->generation = (struct generation) { .stop_id = -1 };
    r->detokenizer = (struct detokenizer) { .tokenizer = l->tokenizer };
    if (l->format)
        chat_parser_init(&r->parser, l->format, l->tokenizer, take_text, r);
    if (l->constraint)
        matcher_reset(constraint_matcher(l->constraint));
    sampler_reset(l->sampler, l->sampling.seed);
    sampler_prompt(l->sampler, prompt->ids, prompt->used);
}

static int read_prompt(struct loaded *l, const struct tokens *prompt, struct reply *r, struct error *err)
{
    double start = clock_seconds();
    progress_begin(&l->progress, "reading the prompt", "tokens", l->args->at[OPT_quiet].set);
    int rc = session_sync(l->session, prompt->ids, prompt->used, &l->watch, err);
    progress_end(&l->progress);
    r->prompt_seconds = clock_seconds() - start;
    r->reused = session_reused(l->session);
    return rc;
}

/* The sampler is told ids of the prompt: they must be ones it knows. */
static int check_ids(const struct loaded *l, const struct tokens *prompt, struct error *err)
{
    for (size_t i = 0; i < prompt->used; i++) {
        if (prompt->ids[i] < 0 || prompt->ids[i] >= tokenizer_size(l->tokenizer)
            || prompt->ids[i] >= model_spec(l->model)->vocabulary)
            return error_set(err, ERROR_FORMAT, "the tokenizer gives token %d, the model's vocabulary has %lld",
                prompt->ids[i], (long long)model_spec(l->model)->vocabulary);
    }
    return 0;
}

int reply_make(struct loaded *l, const struct tokens *prompt, struct reply *r, struct error *err)
{
    const struct option_value *n = &l->args->at[OPT_max_tokens];
    struct generate_filter filter = { allow, r };
    struct generate_options limits = { .max_tokens = n->set ? (int)n->whole : 0, .stops = l->stops.ids,
        .n_stops = l->stops.used, .filter = l->constraint ? &filter : NULL, .watch = &l->watch };
    int rc = check_ids(l, prompt, err);
    if (rc)
        return rc;
    begin(l, prompt, r);
    rc = read_prompt(l, prompt, r, err);
    if (rc == 0 && n->set && n->whole == 0)
        r->generation.end = GENERATE_LENGTH;
    else if (rc == 0)
        rc = generate(l->session, l->sampler, &limits, take_token, r, &r->generation, err);
    int ended = finish_text(r, rc == 0 ? err : NULL);
    rc = rc ? rc : ended;
    r->cancelled = rc == ERROR_CANCELLED || (rc == 0 && r->generation.end == GENERATE_CANCELLED);
    if (rc == 0 && r->cancelled)
        rc = error_set(err, ERROR_CANCELLED, "stopped");
    return rc;
}

const char *reply_end_name(const struct reply *r)
{
    return generate_end_name(r->cancelled ? GENERATE_CANCELLED : r->generation.end);
}

double reply_rate(int tokens, double seconds)
{
    return seconds > 0 ? tokens / seconds : 0;
}

void reply_warn(const struct loaded *l, const struct reply *r)
{
    if (r->generation.end == GENERATE_CONTEXT && !r->cancelled)
        fprintf(stderr, "wazn: the answer stops here: the context of %d tokens is full (the model was made for %d)\n",
            session_context(l->session), model_spec(l->model)->context);
    if (l->constraint && !matcher_complete(constraint_matcher(l->constraint)))
        fputs("wazn: the answer ends before its JSON is whole\n", stderr);
}

void reply_tell(const struct loaded *l, const struct reply *r)
{
    if (l->args->at[OPT_quiet].set)
        return;
    fprintf(stderr, "wazn: loaded in %.2f s; prompt %d tokens (%d reused), %.1f tokens/s; answer %d tokens, %.1f "
        "tokens/s; %s; seed %llu\n",
        l->seconds, r->prompt_tokens, r->reused, reply_rate(r->prompt_tokens - r->reused, r->prompt_seconds),
        r->generation.tokens, reply_rate(r->generation.tokens, r->generation.seconds), reply_end_name(r),
        (unsigned long long)l->sampling.seed);
}

void reply_release(struct reply *r)
{
    if (r->loaded && r->loaded->format)
        chat_parser_release(&r->parser);
    buffer_release(&r->answer);
    buffer_release(&r->reasoning);
    buffer_release(&r->piece);
    tokens_release(&r->ids);
}
