/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/line.h"

#include "cli/terminal.h"

#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HISTORY_LINES 2000
#define PASTE_MS 30

struct line_reader {
    EditLine *editor; /* NULL: standard input is no terminal */
    History *history;
    char path[4096]; /* of the history; "": none */
    const char *prompt;
    bool asks; /* a question: its answer does not belong in the history */
    bool interrupted;
    char *plain; /* getline's */
    size_t plain_size;
};

static char *show_prompt(EditLine *editor)
{
    struct line_reader *r = NULL;
    el_get(editor, EL_CLIENTDATA, &r);
    return (char *)(uintptr_t)r->prompt;
}

/* Make the folders of `path`, readable by their owner alone. */
static void make_folders(char *path)
{
    for (char *c = strchr(path + 1, '/'); c; c = strchr(c + 1, '/')) {
        *c = '\0';
        mkdir(path, 0700); /* what cannot be made shows when the history is saved: then there is none */
        *c = '/';
    }
}

static void open_history(struct line_reader *r)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    HistEvent event;
    int n = -1;
    if (state && *state)
        n = snprintf(r->path, sizeof r->path, "%s/wazn/history", state);
    else if (home && *home)
        n = snprintf(r->path, sizeof r->path, "%s/.local/state/wazn/history", home);
    if (n < 0 || (size_t)n >= sizeof r->path) {
        r->path[0] = '\0';
        return;
    }
    make_folders(r->path);
    history(r->history, &event, H_LOAD, r->path);
}

static bool open_editor(struct line_reader *r, bool keep_history)
{
    HistEvent event;
    r->editor = el_init("wazn", stdin, stderr, stderr);
    r->history = history_init();
    if (!r->editor || !r->history)
        return false;
    history(r->history, &event, H_SETSIZE, HISTORY_LINES);
    history(r->history, &event, H_SETUNIQUE, 1);
    if (keep_history)
        open_history(r);
    el_set(r->editor, EL_CLIENTDATA, r);
    el_set(r->editor, EL_PROMPT, show_prompt);
    el_set(r->editor, EL_EDITOR, "emacs");
    el_set(r->editor, EL_HIST, history, r->history);
    el_set(r->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(r->editor, NULL);
    return true;
}

struct line_reader *line_open(bool keep_history)
{
    struct line_reader *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    if (terminal_is(stdin) && !open_editor(r, keep_history)) {
        line_close(r);
        return NULL;
    }
    return r;
}

void line_close(struct line_reader *r)
{
    HistEvent event;
    if (!r)
        return;
    if (r->history && r->path[0] && history(r->history, &event, H_SAVE, r->path) >= 0)
        chmod(r->path, 0600);
    if (r->editor)
        el_end(r->editor);
    if (r->history)
        history_end(r->history);
    free(r->plain);
    free(r);
}

/* One line with its line end; *n < 0: none. */
static const char *read_one(struct line_reader *r, const char *prompt, int *n)
{
    HistEvent event;
    if (!r->editor) {
        ssize_t got;
        do {
            errno = 0;
            got = getline(&r->plain, &r->plain_size, stdin);
            if (got < 0 && errno == EINTR)
                clearerr(stdin);
        } while (got < 0 && errno == EINTR && !interrupt_seen());
        r->interrupted = got < 0 && errno == EINTR;
        *n = (int)got;
        return r->plain;
    }
    r->prompt = prompt;
    const char *line = el_gets(r->editor, n);
    r->interrupted = interrupt_seen(); /* the signal ends the editor's read */
    if (!line || *n <= 0 || r->interrupted) {
        fputc('\n', stderr);
        *n = -1;
    } else if (line[0] != '\n' && !r->asks) {
        history(r->history, &event, H_ENTER, line);
    }
    return line;
}

static bool has_more(const struct line_reader *r)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    return r->editor && poll(&input, 1, PASTE_MS) == 1 && (input.revents & POLLIN);
}

/* Take the line end off; true where a backslash before it asks for more. */
static bool take_line_end(struct buffer *text)
{
    if (text->used > 0 && text->data[text->used - 1] == '\n')
        text->data[--text->used] = '\0';
    if (text->used > 0 && text->data[text->used - 1] == '\r')
        text->data[--text->used] = '\0';
    if (text->used == 0 || text->data[text->used - 1] != '\\')
        return false;
    text->data[--text->used] = '\0';
    return true;
}

enum line_result line_read(struct line_reader *r, struct buffer *text)
{
    const char *prompt = "> ";
    buffer_clear(text);
    r->interrupted = false;
    for (bool more = true; more; prompt = ". ") {
        int n = -1;
        const char *line = read_one(r, prompt, &n);
        if (r->interrupted)
            return LINE_INTERRUPTED;
        if (n <= 0)
            return text->used > 0 ? LINE_TEXT : LINE_END;
        buffer_add(text, line, (size_t)n);
        more = take_line_end(text) || has_more(r);
        if (more)
            buffer_add_byte(text, '\n');
    }
    return LINE_TEXT;
}

enum line_result line_ask(struct line_reader *r, const char *question, struct buffer *text)
{
    int n = -1;
    buffer_clear(text);
    r->interrupted = false;
    r->asks = true;
    const char *line = read_one(r, question, &n);
    r->asks = false;
    if (r->interrupted)
        return LINE_INTERRUPTED;
    if (n <= 0)
        return LINE_END;
    buffer_add(text, line, (size_t)n);
    while (text->used > 0 && (text->data[text->used - 1] == '\n' || text->data[text->used - 1] == '\r'))
        text->data[--text->used] = '\0';
    return LINE_TEXT;
}
