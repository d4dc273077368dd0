/* SPDX-License-Identifier: Apache-2.0 */
/* Continue a text: generate MODEL PROMPT [TOKENS]. Built with nothing but include/wazn.h and libwazn. */
#include <wazn.h>

#include <stdio.h>
#include <stdlib.h>

static int print_piece(void *context, const char *text, size_t length)
{
    (void)context;
    fwrite(text, 1, length, stdout);
    return fflush(stdout);
}

static int fail(const struct wazn_error *err)
{
    fprintf(stderr, "generate: %s\n", err->text);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL PROMPT [TOKENS]\n", argv[0]);
        return 2;
    }
    struct wazn_error err = { 0 };
    struct wazn_model *model;
    struct wazn_session *session = NULL;
    struct wazn_session_options options = { .temperature = -1, .max_tokens = 64 };
    if (argc > 3)
        options.max_tokens = (int)strtol(argv[3], NULL, 10);

    int rc = wazn_model_open(&model, argv[1], NULL, &err);
    if (rc == 0)
        rc = wazn_session_open(&session, model, &options, &err);
    if (rc == 0)
        rc = wazn_session_generate(session, argv[2], print_piece, NULL, &err);
    putchar('\n');
    int status = rc ? fail(&err) : 0;
    wazn_session_close(session);
    wazn_model_close(model);
    return status;
}
