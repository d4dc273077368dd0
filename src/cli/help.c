/* SPDX-License-Identifier: Apache-2.0 */
/* Help, written from the tables of options and commands. */
#include "cli/option.h"
#include "cli/terminal.h"

#include <string.h>

#define HELP_COLUMN 28

static const char *const group_titles[GROUP_COUNT] = {
    [GROUP_MODEL] = "Model",
    [GROUP_TEXT] = "Text",
    [GROUP_SAMPLING] = "Sampling (defaults come from the model's generation_config)",
    [GROUP_MEASURE] = "Measuring",
    [GROUP_TRAINING] = "Training",
    [GROUP_OUTPUT] = "Output",
    [GROUP_GENERAL] = "General",
};

/* Words of text, broken before `width` columns, each further line indented. The help texts are ASCII. */
static void print_wrapped(FILE *out, const char *text, int column, int indent, int width)
{
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column > indent && column + 1 + (int)n > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, n, out);
        column += (int)n;
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const struct option *o, int width)
{
    char left[80], text[400];
    int n = o->letter ? snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name)
                      : snprintf(left, sizeof left, "      --%s", o->name);
    if (o->argument)
        n += snprintf(left + n, sizeof left - (size_t)n, " %s", o->argument);
    snprintf(text, sizeof text, "%s", o->help);
    if (o->kind == OPTION_REAL || (o->kind == OPTION_WHOLE && o->high < 100000))
        snprintf(text, sizeof text, "%s [%g to %g]", o->help, o->low, o->high);
    fputs(left, out);
    if (n >= HELP_COLUMN - 1) {
        fputc('\n', out);
        n = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - n, "");
    print_wrapped(out, text, HELP_COLUMN, HELP_COLUMN, width);
}

static void print_group(FILE *out, const struct command *command, enum option_group group, int width)
{
    bool titled = false;
    for (int id = 0; id < OPT_COUNT; id++) {
        bool taken = id == OPT_help;
        for (const enum option_id *o = command->takes; *o != OPT_COUNT; o++)
            taken = taken || *o == (enum option_id)id;
        if (!taken || options[id].group != group)
            continue;
        if (!titled)
            fprintf(out, "\n%s:\n", group_titles[group]);
        titled = true;
        print_option(out, &options[id], width);
    }
}

void help_command(FILE *out, const struct command *command)
{
    int width = terminal_columns(out);
    fprintf(out, "wazn %s - %s\n\nUsage: wazn %s %s\n", command->name, command->summary, command->name, command->usage);
    for (const char *line = command->about; line && *line;) {
        char paragraph[1024];
        size_t n = strcspn(line, "\n");
        snprintf(paragraph, sizeof paragraph, "%.*s", (int)n, line);
        fputc('\n', out);
        print_wrapped(out, paragraph, 0, 0, width);
        line += n + (line[n] == '\n');
    }
    for (int group = 0; group < GROUP_COUNT; group++)
        print_group(out, command, (enum option_group)group, width);
    fputs("\nExamples:\n", out);
    for (const char *const *e = command->examples; e && *e; e += 2)
        fprintf(out, "  %s\n      %s\n", e[0], e[1]);
}

void help_program(FILE *out)
{
    fputs("wazn " WAZN_VERSION " - open-weight language models on your own machine\n\n"
          "Usage: wazn COMMAND [options]\n\nCommands:\n",
        out);
    for (size_t i = 0; commands[i]; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("  help       how to use a command: wazn help COMMAND\n"
          "\nOptions:\n"
          "  -h, --help     this text\n"
          "  -V, --version  the version\n"
          "\nExamples:\n"
          "  wazn run -m MODEL \"Why is the sky blue?\"\n"
          "  wazn chat -m MODEL\n"
          "  wazn inspect -m MODEL --ctx 8192\n"
          "\nExit status: 0 done, 2 wrong use, 3 not found, 4 input or output, 5 damaged file, 6 not supported,\n"
          "7 no memory, 8 a limit (context, memory plan), 130 stopped by the user, 1 anything else.\n",
        out);
}
