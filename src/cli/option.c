/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/option.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct option options[OPT_COUNT] = {
#define X(id, name, letter, kind, argument, low, high, group, help) \
    [OPT_##id] = { name, letter, kind, argument, low, high, group, help },
    OPTIONS(X)
#undef X
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

/* Letters to insert, delete, replace or swap with a neighbour (Damerau); words too long for the table are far away. */
static int edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 31 };
    int d[LONGEST + 1][LONGEST + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (int)(i + j);
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

/* Near enough to be a slip of the finger: the typed word begins the name, or a third of it is wrong at most. */
static int nearness(const char *typed, const char *name)
{
    size_t n = strlen(typed);
    if (n >= 3 && strncmp(name, typed, n) == 0)
        return 0;
    int distance = edit_distance(typed, name);
    return distance <= 1 + (int)n / 4 && distance < (int)strlen(name) ? distance : -1;
}

const char *command_suggest(const char *name)
{
    const char *best = NULL;
    int least = 99;
    for (size_t i = 0; commands[i]; i++) {
        int near = nearness(name, commands[i]->name);
        if (near >= 0 && near < least) {
            least = near;
            best = commands[i]->name;
        }
    }
    return best;
}

static bool is_taken(const struct command *command, enum option_id id)
{
    for (const enum option_id *o = command->takes; *o != OPT_COUNT; o++) {
        if (*o == id)
            return true;
    }
    return id == OPT_help;
}

static const char *option_suggest(const struct command *command, const char *name)
{
    const char *best = NULL;
    int least = 99;
    for (int id = 0; id < OPT_COUNT; id++) {
        int near = is_taken(command, (enum option_id)id) ? nearness(name, options[id].name) : -1;
        if (near >= 0 && near < least) {
            least = near;
            best = options[id].name;
        }
    }
    return best;
}

static int refuse_unknown(const struct command *command, const char *typed, const char *name, struct error *err)
{
    for (int id = 0; id < OPT_COUNT; id++) {
        if (strcmp(options[id].name, name) == 0)
            return error_set(err, ERROR_USAGE, "\"wazn %s\" takes no --%s; see wazn %s --help", command->name, name,
                command->name);
    }
    const char *near = option_suggest(command, name);
    if (near)
        return error_set(err, ERROR_USAGE, "unknown option \"%s\": did you mean --%s?", typed, near);
    return error_set(err, ERROR_USAGE, "unknown option \"%s\"; see wazn %s --help", typed, command->name);
}

static int read_whole(struct option_value *v, const struct option *o, const char *text, struct error *err)
{
    char *end;
    errno = 0;
    v->whole = strtoll(text, &end, 10);
    if (end == text || *end)
        return error_set(err, ERROR_USAGE, "--%s takes a whole number, not \"%s\"", o->name, text);
    if (errno == ERANGE || (double)v->whole < o->low || (double)v->whole > o->high)
        return error_set(err, ERROR_USAGE, "--%s is \"%s\", it must lie between %.0f and %.0f", o->name, text, o->low,
            o->high);
    v->real = (double)v->whole;
    return 0;
}

static int read_real(struct option_value *v, const struct option *o, const char *text, struct error *err)
{
    char *end;
    v->real = strtod(text, &end);
    if (end == text || *end || isnan(v->real))
        return error_set(err, ERROR_USAGE, "--%s takes a number, not \"%s\"", o->name, text);
    if (v->real < o->low || v->real > o->high)
        return error_set(err, ERROR_USAGE, "--%s is %s, it must lie between %g and %g", o->name, text, o->low, o->high);
    return 0;
}

static int read_choice(const struct option *o, const char *text, struct error *err)
{
    size_t n = strlen(text);
    for (const char *word = o->argument; word; word = strchr(word, '|')) {
        word += *word == '|';
        if (n > 0 && strcspn(word, "|") == n && strncmp(word, text, n) == 0)
            return 0;
    }
    return error_set(err, ERROR_USAGE, "--%s is \"%s\", it must be one of %s", o->name, text, o->argument);
}

static int read_value(struct arguments *args, enum option_id id, const char *text, struct error *err)
{
    const struct option *o = &options[id];
    struct option_value *v = &args->at[id];
    v->set = true;
    v->text = text;
    switch (o->kind) {
    case OPTION_WHOLE:
        return read_whole(v, o, text, err);
    case OPTION_REAL:
        return read_real(v, o, text, err);
    case OPTION_CHOICE:
        return read_choice(o, text, err);
    case OPTION_LIST:
        if (args->n_list == OPTION_LIST_MAX)
            return error_set(err, ERROR_USAGE, "--%s is given more than %d times", o->name, OPTION_LIST_MAX);
        args->list[args->n_list++] = text;
        return 0;
    default:
        return 0;
    }
}

/* --name VALUE or --name=VALUE. Moves *i over a value taken from the next word. */
static int parse_long(struct arguments *args, int argc, char **argv, int *i, struct error *err)
{
    const char *typed = argv[*i], *equals = strchr(typed, '=');
    char name[64];
    size_t n = equals ? (size_t)(equals - typed - 2) : strlen(typed + 2);
    if (n >= sizeof name)
        return error_set(err, ERROR_USAGE, "unknown option \"%.80s\"", typed);
    memcpy(name, typed + 2, n);
    name[n] = '\0';
    int id = 0;
    while (id < OPT_COUNT && !(strcmp(options[id].name, name) == 0 && is_taken(args->command, (enum option_id)id)))
        id++;
    if (id == OPT_COUNT)
        return refuse_unknown(args->command, typed, name, err);
    if (options[id].kind == OPTION_FLAG) {
        if (equals)
            return error_set(err, ERROR_USAGE, "--%s takes no value", name);
        return read_value(args, (enum option_id)id, "", err);
    }
    if (!equals && *i + 1 >= argc)
        return error_set(err, ERROR_USAGE, "--%s needs a value: %s", name, options[id].argument);
    return read_value(args, (enum option_id)id, equals ? equals + 1 : argv[++*i], err);
}

/* -n VALUE or -nVALUE; flags may be joined: -qh. */
static int parse_short(struct arguments *args, int argc, char **argv, int *i, struct error *err)
{
    for (const char *c = argv[*i] + 1; *c; c++) {
        int id = 0;
        while (id < OPT_COUNT && !(options[id].letter == *c && is_taken(args->command, (enum option_id)id)))
            id++;
        if (id == OPT_COUNT)
            return error_set(err, ERROR_USAGE, "unknown option \"-%c\"; see wazn %s --help", *c, args->command->name);
        if (options[id].kind == OPTION_FLAG) {
            int rc = read_value(args, (enum option_id)id, "", err);
            if (rc)
                return rc;
            continue;
        }
        if (!c[1] && *i + 1 >= argc)
            return error_set(err, ERROR_USAGE, "-%c needs a value: %s", *c, options[id].argument);
        return read_value(args, (enum option_id)id, c[1] ? c + 1 : argv[++*i], err);
    }
    return 0;
}

int option_parse(struct arguments *args, const struct command *command, int argc, char **argv, struct error *err)
{
    bool options_end = false;
    *args = (struct arguments) { .command = command, .words = (const char **)argv };
    for (int i = 0; i < argc; i++) {
        int rc = 0;
        const char *word = argv[i];
        if (!options_end && strcmp(word, "--") == 0)
            options_end = true;
        else if (!options_end && strncmp(word, "--", 2) == 0)
            rc = parse_long(args, argc, argv, &i, err);
        else if (!options_end && word[0] == '-' && word[1])
            rc = parse_short(args, argc, argv, &i, err);
        else if (command->takes_words)
            args->words[args->n_words++] = word; /* never in front of what is still to be read */
        else if (!command->takes_word)
            rc = error_set(err, ERROR_USAGE, "\"wazn %s\" does not know what to do with \"%s\"", command->name, word);
        else if (args->word)
            rc = error_set(err, ERROR_USAGE, "one text is expected but \"%s\" follows \"%s\": put quotes around it",
                word, args->word);
        else
            args->word = word;
        if (rc)
            return rc;
    }
    return 0;
}
