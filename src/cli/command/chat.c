/* SPDX-License-Identifier: Apache-2.0 */
/* wazn chat: turns between a person and the model, over one session that keeps what both have said. */
#include "cli/command.h"
#include "cli/conversation.h"
#include "cli/input.h"
#include "cli/line.h"
#include "cli/load.h"
#include "cli/reply.h"
#include "cli/request.h"
#include "cli/terminal.h"
#include "cli/turn.h"

#include <string.h>

#define MARKS 4 /* of turns whose borders can be come back to: this one, the last, and two for what is tried again */

struct chat {
    struct loaded loaded;
    struct conversation talk;
    struct tools *tools;
    struct turn turn;
    bool over;
};

/* What the conversation was before is restored where no answer came. */
static int say(struct chat *c, const char *text, struct error *err)
{
    size_t before = c->talk.n;
    int rc = conversation_add(&c->talk, &(struct chat_message) { .role = "user", .content = text }, err);
    if (rc == 0)
        rc = turn_take(&c->turn, err);
    if (rc)
        conversation_cut(&c->talk, before);
    if (rc == ERROR_LIMIT)
        error_in(err, "the message was not sent (/reset starts anew, --ctx N gives more room)");
    return rc;
}

static int slash_help(struct chat *c, const char *text, struct error *err);

static int slash_save(struct chat *c, const char *text, struct error *err)
{
    int rc = conversation_save(&c->talk, text, err);
    if (rc == 0)
        fprintf(stderr, "wazn: %zu messages saved\n", c->talk.n);
    return rc;
}

static int slash_load(struct chat *c, const char *text, struct error *err)
{
    int rc = conversation_load(&c->talk, text, err);
    if (rc == 0)
        fprintf(stderr, "wazn: %zu messages loaded\n", c->talk.n);
    return rc;
}

static int slash_system(struct chat *c, const char *text, struct error *err)
{
    return conversation_set_system(&c->talk, text, err);
}

/* All that came after the last message of the person is said again. */
static int slash_retry(struct chat *c, const char *text, struct error *err)
{
    size_t asked = c->talk.n;
    (void)text;
    while (asked > 0 && strcmp(c->talk.messages[asked - 1].role, "user") != 0)
        asked--;
    if (asked == 0 || asked == c->talk.n)
        return error_set(err, ERROR_USAGE, "there is no answer to try again");
    struct conversation old = { 0 };
    for (size_t i = asked; i < c->talk.n; i++) {
        int rc = conversation_add(&old, &c->talk.messages[i], err);
        if (rc) {
            conversation_release(&old);
            return rc;
        }
    }
    conversation_cut(&c->talk, asked);
    int rc = turn_take(&c->turn, err);
    if (rc) { /* the answer of before stays */
        conversation_cut(&c->talk, asked);
        for (size_t i = 0; i < old.n && conversation_add(&c->talk, &old.messages[i], NULL) == 0; i++)
            ;
    }
    conversation_release(&old);
    return rc;
}

static int slash_reset(struct chat *c, const char *text, struct error *err)
{
    bool has_system = c->talk.n > 0 && strcmp(c->talk.messages[0].role, "system") == 0;
    (void)text;
    (void)err;
    conversation_cut(&c->talk, has_system ? 1 : 0);
    return 0;
}

static int slash_stats(struct chat *c, const char *text, struct error *err)
{
    (void)text;
    (void)err;
    fprintf(stderr, "wazn: %zu messages; %d of %d tokens of context held\n", c->talk.n,
        session_length(c->loaded.session), session_context(c->loaded.session));
    if (c->turn.replies > 0)
        reply_tell(&c->loaded, &c->turn.last);
    return 0;
}

static int slash_quit(struct chat *c, const char *text, struct error *err)
{
    (void)text;
    (void)err;
    c->over = true;
    return 0;
}

static const struct slash {
    const char *name, *argument, *help; /* argument NULL: takes none */
    int (*run)(struct chat *c, const char *text, struct error *err);
} slashes[] = {
    { "/help", NULL, "this list", slash_help },
    { "/save", "FILE", "write the conversation to a file (JSON)", slash_save },
    { "/load", "FILE", "go on with a saved conversation", slash_load },
    { "/system", "TEXT", "set the system message", slash_system },
    { "/retry", NULL, "another answer to the last message", slash_retry },
    { "/reset", NULL, "forget the conversation, keep the system message", slash_reset },
    { "/stats", NULL, "tokens, reuse and speed", slash_stats },
    { "/quit", NULL, "end (as Ctrl-D does)", slash_quit },
};

static int slash_help(struct chat *c, const char *text, struct error *err)
{
    (void)c;
    (void)text;
    (void)err;
    for (size_t i = 0; i < sizeof slashes / sizeof *slashes; i++)
        fprintf(stderr, "  %-8s %-5s %s\n", slashes[i].name, slashes[i].argument ? slashes[i].argument : "",
            slashes[i].help);
    fputs("A line that ends in a backslash goes on in the next one; Ctrl-C stops an answer.\n", stderr);
    return 0;
}

static int run_slash(struct chat *c, const char *text, struct error *err)
{
    size_t n = strcspn(text, " \t\n");
    const char *argument = text + n + strspn(text + n, " \t\n");
    for (size_t i = 0; i < sizeof slashes / sizeof *slashes; i++) {
        const struct slash *s = &slashes[i];
        if (strlen(s->name) != n || strncmp(s->name, text, n) != 0)
            continue;
        if (s->argument ? !*argument : *argument != '\0')
            return error_set(err, ERROR_USAGE, "%s takes %s", s->name, s->argument ? s->argument : "nothing");
        return s->run(c, argument, err);
    }
    return error_set(err, ERROR_USAGE, "unknown command \"%.*s\"; /help lists them", (int)n, text);
}

/* A line that cannot be done is told and forgotten; only a broken standard output ends the chat. */
static int take_line(struct chat *c, const char *text)
{
    struct error err = { 0 };
    if (text[strspn(text, " \t\n")] == '\0')
        return 0;
    int rc = text[0] == '/' ? run_slash(c, text, &err) : say(c, text, &err);
    if (rc && rc != ERROR_CANCELLED)
        fprintf(stderr, "wazn: %s\n", err.text);
    return ferror(stdout) ? ERROR_IO : 0;
}

static int talk(struct chat *c, struct error *err)
{
    struct buffer text = { 0 };
    struct line_reader *lines = line_open(!c->loaded.args->at[OPT_no_history].set);
    c->turn = (struct turn) { .loaded = &c->loaded, .talk = &c->talk, .tools = c->tools, .lines = lines };
    int rc = lines ? 0 : error_memory(err, 0, "line editing");
    while (rc == 0 && !c->over) {
        enum line_result result = line_read(lines, &text);
        if (result == LINE_END)
            break;
        interrupt_lower();
        if (result == LINE_INTERRUPTED) {
            fputs("wazn: Ctrl-D or /quit ends\n", stderr);
            continue;
        }
        rc = buffer_check(&text, "a message", err);
        if (rc == 0 && strlen(text.data ? text.data : "") != text.used)
            fputs("wazn: a message cannot hold a zero byte\n", stderr);
        else if (rc == 0)
            rc = take_line(c, text.data ? text.data : "");
    }
    reply_release(&c->turn.last);
    line_close(lines);
    buffer_release(&text);
    return rc;
}

static int need_format(struct loaded *l, struct error *err)
{
    int rc = loaded_format(l, err);
    if (rc || l->format)
        return rc;
    struct buffer names = { 0 };
    chat_format_names(&names);
    rc = error_set(err, ERROR_UNSUPPORTED, "this model has no chat template: choose a format with --chat-format (%s), "
        "or continue texts with wazn run --raw", names.data ? names.data : "");
    buffer_release(&names);
    return rc;
}

static int open_all(struct chat *c, const struct arguments *args, struct error *err)
{
    struct loaded *l = &c->loaded;
    int rc = loaded_source(l, args, err);
    if (rc == 0)
        rc = loaded_tokenizer(l, err);
    if (rc == 0)
        rc = need_format(l, err);
    if (rc == 0)
        rc = loaded_sampling(l, err);
    if (rc == 0)
        rc = loaded_schema(l, err);
    if (rc == 0)
        rc = request_prepare(l, err);
    if (rc == 0 && args->at[OPT_tools].set)
        rc = tools_open(&c->tools, args->at[OPT_tools].text, err);
    if (rc == 0 && c->tools)
        l->request.tools = tools_json(c->tools);
    if (rc == 0)
        rc = loaded_model(l, err);
    l->marks = MARKS;
    if (rc == 0)
        rc = loaded_plan(l, 0, 1, sampler_bytes(model_spec(l->model)->vocabulary), err);
    return rc ? rc : loaded_session(l, err);
}

static int run(const struct arguments *args, struct error *err)
{
    struct chat c = { 0 };
    interrupt_catch();
    int rc = open_all(&c, args, err);
    if (rc == 0 && args->at[OPT_load].set)
        rc = conversation_load(&c.talk, args->at[OPT_load].text, err);
    if (rc == 0 && args->at[OPT_system].set)
        rc = conversation_set_system(&c.talk, args->at[OPT_system].text, err);
    if (rc == 0 && terminal_is(stdin) && !args->at[OPT_quiet].set)
        fprintf(stderr, "wazn: chat format %s; /help lists commands, Ctrl-C stops an answer, Ctrl-D ends\n",
            c.loaded.format->name);
    if (rc == 0)
        rc = talk(&c, err);
    conversation_release(&c.talk);
    loaded_close(&c.loaded);
    tools_close(c.tools);
    return rc;
}

static const enum option_id takes[] = { OPT_model, OPT_adapter, OPT_system, OPT_tools, OPT_reasoning,
    OPT_reasoning_budget, OPT_show_reasoning, OPT_json_schema, OPT_date, OPT_free_headers, OPT_load, OPT_no_history,
    OPT_max_tokens, OPT_temp, OPT_seed, OPT_chat_format, OPT_tokenizer, OPT_ctx, OPT_kv, OPT_threads, OPT_cpu,
    OPT_force, OPT_top_k, OPT_top_p, OPT_min_p, OPT_typical, OPT_repetition_penalty, OPT_presence_penalty,
    OPT_frequency_penalty, OPT_logit_bias, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn chat -m MODEL", "talk",
    "wazn chat -m MODEL --system \"Answer in French.\"", "with a system message",
    "wazn chat -m MODEL --reasoning low --tools tools.json", "with functions that it may call, each time asked for",
    "wazn chat -m MODEL --ctx 16384 --load trip.json", "go on with a conversation saved with /save", NULL };

const struct command command_chat = {
    .name = "chat",
    .summary = "talk with a model",
    .usage = "-m MODEL [--system TEXT] [--tools FILE] [--reasoning HOW] [--load FILE] [options]",
    .about = "Lines typed (or read from standard input) are messages; /help lists the commands. Only what is new is "
             "computed each turn. Control characters in the model's words are shown as \\xNN.",
    .takes = takes,
    .examples = examples,
    .run = run,
};
