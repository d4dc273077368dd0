/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_impl.h"

#include "base/cpu.h"
#include "infer/generate.h"
#include "infer/plan.h"
#include "infer/session.h"

#include <stdlib.h>
#include <string.h>

struct turn { /* one message of the conversation, its texts owned */
    const char *role;
    char *content, *reasoning; /* reasoning may be NULL */
};

struct wazn_session {
    const struct wazn_model *model;
    struct session *session;
    struct sampler *sampler;
    uint64_t seed;
    int max_tokens;
    struct turn *turns;
    size_t n_turns, turns_capacity;
};

/* A reply on its way to the callback. */
struct reply {
    wazn_token_callback *callback;
    void *context;
    bool stopped;                    /* the callback asked to */
    struct buffer answer, reasoning; /* of a chat: what to remember */
    struct chat_parser *parser;      /* of a chat */
    struct detokenizer detokenizer;  /* of plain text */
    struct buffer piece;
};

static int choose_sampling(struct sampling *out, const struct wazn_model *m, const struct wazn_session_options *o,
    struct error *err)
{
    int rc = 0;
    *out = m->sampling;
    out->seed = o->seed;
    if (o->temperature != 0)
        rc = sampling_set(out, SAMPLING_temperature, o->temperature < 0 ? 0 : (double)o->temperature, err);
    if (rc == 0 && o->top_p != 0)
        rc = sampling_set(out, SAMPLING_top_p, (double)o->top_p, err);
    if (rc == 0 && o->top_k != 0)
        rc = sampling_set(out, SAMPLING_top_k, o->top_k, err);
    return rc;
}

static int open_parts(struct wazn_session *s, const struct wazn_session_options *o, struct error *err)
{
    const struct spec *spec = model_spec(s->model->model);
    struct sampling sampling;
    struct session_options options = {
        .context = o->context ? o->context : spec->context < PLAN_CONTEXT ? spec->context : PLAN_CONTEXT,
        .threads = o->threads ? o->threads : cpu_cores(),
    };
    if (o->kv_format && !(options.kv_format = format_find(o->kv_format)))
        return error_set(err, ERROR_USAGE, "there is no storage format \"%s\"", o->kv_format);
    int rc = choose_sampling(&sampling, s->model, o, err);
    if (rc == 0)
        rc = session_open(&s->session, s->model->model, &options, err);
    if (rc == 0)
        rc = sampler_open(&s->sampler, &sampling, spec->vocabulary, err);
    return rc;
}

int wazn_session_open(struct wazn_session **out, const struct wazn_model *m, const struct wazn_session_options *options,
    struct wazn_error *err)
{
    static const struct wazn_session_options none;
    struct error e = { 0 };
    *out = NULL;
    struct wazn_session *s = calloc(1, sizeof *s);
    if (!s) {
        error_memory(&e, sizeof *s, "a session");
        return api_error(err, &e);
    }
    const struct wazn_session_options *o = options ? options : &none;
    s->model = m;
    s->seed = o->seed;
    s->max_tokens = o->max_tokens;
    if (open_parts(s, o, &e) != 0) {
        wazn_session_close(s);
        return api_error(err, &e);
    }
    *out = s;
    return 0;
}

static void drop_turns(struct wazn_session *s, size_t keep)
{
    while (s->n_turns > keep) {
        struct turn *t = &s->turns[--s->n_turns];
        free(t->content);
        free(t->reasoning);
    }
}

void wazn_session_close(struct wazn_session *s)
{
    if (!s)
        return;
    drop_turns(s, 0);
    free(s->turns);
    sampler_close(s->sampler);
    session_close(s->session);
    free(s);
}

static void hand_out(struct reply *r, const char *text, size_t n)
{
    if (n && !r->stopped && r->callback(r->context, text, n) != 0)
        r->stopped = true;
}

static int text_sink(void *context, int32_t id, struct error *err)
{
    struct reply *r = context;
    buffer_clear(&r->piece);
    int rc = detokenizer_push(&r->detokenizer, id, &r->piece, err);
    if (rc == 0)
        rc = buffer_check(&r->piece, "a piece of text", err);
    if (rc)
        return rc;
    hand_out(r, r->piece.data, r->piece.used);
    return r->stopped ? 1 : 0;
}

static void chat_piece(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    struct reply *r = context;
    if (channel == CHAT_ANSWER) {
        buffer_add(&r->answer, bytes, n);
        hand_out(r, bytes, n);
    } else if (channel == CHAT_REASONING) {
        buffer_add(&r->reasoning, bytes, n);
    }
}

static int parser_sink(void *context, int32_t id, struct error *err)
{
    struct reply *r = context;
    int rc = chat_parser_push(r->parser, id, err);
    return rc ? rc : r->stopped ? 1 : 0;
}

/* Read the prompt, then make a reply. */
static int run(struct wazn_session *s, const struct tokens *prompt, const struct tokens *stops, generate_sink *sink,
    struct reply *r, struct error *err)
{
    struct generate_options o = { .max_tokens = s->max_tokens, .stops = stops->ids, .n_stops = stops->used };
    struct generation g;
    if (prompt->used == 0)
        return error_set(err, ERROR_USAGE, "the prompt is empty and the model has no token to begin with");
    int rc = session_sync(s->session, prompt->ids, prompt->used, NULL, err);
    if (rc)
        return rc;
    sampler_reset(s->sampler, s->seed);
    sampler_prompt(s->sampler, prompt->ids, prompt->used);
    rc = generate(s->session, s->sampler, &o, sink, r, &g, err);
    if (rc == 0 && g.end == GENERATE_CONTEXT)
        rc = error_set(err, ERROR_LIMIT, "the context of %d tokens is full", session_context(s->session));
    return rc;
}

int wazn_session_generate(struct wazn_session *s, const char *prompt, wazn_token_callback *callback, void *context,
    struct wazn_error *err)
{
    struct error e = { 0 };
    const struct tokenizer *t = s->model->tokenizer;
    struct tokens ids = { 0 }, stops = { 0 };
    struct reply r = { .callback = callback, .context = context, .detokenizer = { .tokenizer = t } };
    unsigned flags = *prompt ? TOKENIZE_DEFAULT : TOKENIZE_BOS;
    int rc = tokenizer_encode(t, prompt, strlen(prompt), flags, &ids, &e);
    if (tokenizer_special(t, TOKEN_EOS) >= 0)
        tokens_add(&stops, tokenizer_special(t, TOKEN_EOS));
    if (rc == 0)
        rc = tokens_check(&stops, &e);
    if (rc == 0)
        rc = run(s, &ids, &stops, text_sink, &r, &e);
    buffer_clear(&r.piece);
    detokenizer_end(&r.detokenizer, &r.piece);
    hand_out(&r, r.piece.data, r.piece.used);
    if (rc == 0 && r.stopped)
        error_set(&e, ERROR_CANCELLED, "the callback stopped it");
    buffer_release(&r.piece);
    tokens_release(&ids);
    tokens_release(&stops);
    return api_error(err, &e);
}

/* Remember a message; takes content and reasoning over, also when it fails. */
static int add_turn(struct wazn_session *s, const char *role, char *content, char *reasoning, struct error *err)
{
    if (s->n_turns == s->turns_capacity) {
        size_t capacity = s->turns_capacity ? 2 * s->turns_capacity : 8;
        struct turn *turns = realloc(s->turns, capacity * sizeof *turns);
        if (turns) {
            s->turns = turns;
            s->turns_capacity = capacity;
        }
    }
    if (!content || s->n_turns == s->turns_capacity) {
        free(content);
        free(reasoning);
        return error_memory(err, sizeof(struct turn), "a message");
    }
    s->turns[s->n_turns++] = (struct turn) { role, content, reasoning };
    return 0;
}

static int render(const struct wazn_session *s, struct tokens *ids, struct tokens *stops, struct error *err)
{
    struct chat_message *messages = calloc(s->n_turns, sizeof *messages);
    if (!messages)
        return error_memory(err, s->n_turns * sizeof *messages, "the conversation");
    for (size_t i = 0; i < s->n_turns; i++)
        messages[i] = (struct chat_message) {
            .role = s->turns[i].role, .content = s->turns[i].content, .reasoning = s->turns[i].reasoning
        };
    struct chat_request request = { .messages = messages, .n_messages = s->n_turns, .add_generation_prompt = true };
    int rc = chat_render(s->model->chat, s->model->tokenizer, &request, ids, err);
    if (rc == 0)
        rc = chat_stops(s->model->chat, s->model->tokenizer, stops, err);
    free(messages);
    return rc;
}

/* The reply to the conversation as it stands, remembered. */
static int answer(struct wazn_session *s, struct reply *r, struct error *err)
{
    struct tokens ids = { 0 }, stops = { 0 };
    struct chat_parser parser;
    chat_parser_init(&parser, s->model->chat, s->model->tokenizer, chat_piece, r);
    r->parser = &parser;
    int rc = render(s, &ids, &stops, err);
    if (rc == 0)
        rc = run(s, &ids, &stops, parser_sink, r, err);
    if (rc == 0)
        rc = chat_parser_end(&parser, err);
    if (rc == 0) {
        char *reasoning = r->reasoning.used ? buffer_new_text(&r->reasoning) : NULL;
        rc = add_turn(s, "assistant", buffer_new_text(&r->answer), reasoning, err);
    }
    chat_parser_release(&parser);
    tokens_release(&ids);
    tokens_release(&stops);
    return rc;
}

int wazn_session_chat(struct wazn_session *s, const char *message, wazn_token_callback *callback, void *context,
    struct wazn_error *err)
{
    struct error e = { 0 };
    struct reply r = { .callback = callback, .context = context };
    size_t before = s->n_turns;
    if (!s->model->chat)
        return api_error(err, &s->model->chat_error);
    int rc = add_turn(s, "user", strdup(message), NULL, &e);
    if (rc == 0)
        rc = answer(s, &r, &e);
    if (rc)
        drop_turns(s, before); /* a turn that failed never happened */
    else if (r.stopped)
        error_set(&e, ERROR_CANCELLED, "the callback stopped it");
    buffer_release(&r.answer);
    buffer_release(&r.reasoning);
    return api_error(err, &e);
}
