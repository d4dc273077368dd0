/* SPDX-License-Identifier: Apache-2.0 */
/* The door: find the command, parse its options, run it, say what went wrong, choose the exit status. */
#include "base/cpu.h"
#include "cli/option.h"
#include "kernel/kernel.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Standard output is a promise: a full disk or a closed file must not look like success. */
static int flush_output(struct error *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_set(err, ERROR_IO, "could not write standard output");
    return 0;
}

static int choose_kernels(const struct arguments *args, struct error *err)
{
    unsigned features = cpu_features();
    if (args->at[OPT_cpu].set && cpu_level(args->at[OPT_cpu].text, &features) != 0)
        return error_set(err, ERROR_USAGE, "unknown processor level \"%s\"", args->at[OPT_cpu].text);
    kernels_init(features);
    return 0;
}

static int run_command(const struct command *command, int argc, char **argv, struct error *err)
{
    struct arguments args;
    int rc = option_parse(&args, command, argc, argv, err);
    if (args.at[OPT_help].set) {
        help_command(stdout, command);
        return flush_output(err);
    }
    if (rc == 0)
        rc = choose_kernels(&args, err);
    if (rc == 0)
        rc = command->run(&args, err);
    int flushed = flush_output(rc == 0 ? err : NULL);
    return rc ? rc : flushed;
}

static int unknown_command(const char *name, struct error *err)
{
    const char *near = command_suggest(name);
    if (near)
        return error_set(err, ERROR_USAGE, "unknown command \"%s\": did you mean \"%s\"?", name, near);
    return error_set(err, ERROR_USAGE, "unknown command \"%s\"; see wazn --help", name);
}

static int run_help(const char *name, struct error *err)
{
    if (!name) {
        help_program(stdout);
        return flush_output(err);
    }
    const struct command *command = command_find(name);
    if (!command)
        return unknown_command(name, err);
    help_command(stdout, command);
    return flush_output(err);
}

static int dispatch(int argc, char **argv, struct error *err)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        help_program(stderr);
        return error_set(err, ERROR_USAGE, "a command is missing");
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        puts("wazn " WAZN_VERSION);
        return flush_output(err);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return run_help(argc > 2 ? argv[2] : NULL, err);
    const struct command *command = command_find(name);
    if (!command)
        return unknown_command(name, err);
    return run_command(command, argc - 2, argv + 2, err);
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    /* Line editing in UTF-8, whatever the surroundings say; numbers keep their point. */
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8");
    int rc = dispatch(argc, argv, &err);
    if (rc && err.text[0])
        fprintf(stderr, "wazn: %s\n", err.text);
    return error_exit_status(rc);
}
