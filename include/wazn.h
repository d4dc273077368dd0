/* SPDX-License-Identifier: Apache-2.0 */
/* wazn: run open-weight language models. The public interface of libwazn.
 *
 * A model is opened once and shared; a session is one conversation or text with its own memory of what it has read.
 * Functions return 0 or a negative enum wazn_error_code and, where they take one, fill a struct wazn_error. Nothing
 * here prints, exits or reads the environment. A session is used by one thread at a time; sessions of one model may
 * run in different threads.
 *
 *     struct wazn_error err;
 *     struct wazn_model *model;
 *     struct wazn_session *session;
 *     if (wazn_model_open(&model, "path/to/model", NULL, &err) != 0) ...
 *     if (wazn_session_open(&session, model, NULL, &err) != 0) ...
 *     wazn_session_generate(session, "Once upon a time", print_piece, NULL, &err);
 *     wazn_session_close(session);
 *     wazn_model_close(model);
 */
#ifndef WAZN_H
#define WAZN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WAZN_API __attribute__((visibility("default")))

enum wazn_error_code {
    WAZN_OK = 0,
    WAZN_ERROR_USAGE = -1,       /* senseless arguments */
    WAZN_ERROR_NOT_FOUND = -2,   /* no such file or model */
    WAZN_ERROR_IO = -3,          /* the system refused to read or write */
    WAZN_ERROR_FORMAT = -4,      /* a file is not what it claims to be */
    WAZN_ERROR_UNSUPPORTED = -5, /* well formed, but nothing here runs it */
    WAZN_ERROR_MEMORY = -6,      /* no memory */
    WAZN_ERROR_LIMIT = -7,       /* a limit would be passed: context, memory */
    WAZN_ERROR_CANCELLED = -8    /* the callback asked to stop */
};

struct wazn_error {
    int code;
    char text[1024]; /* what was tried, then why it failed */
};

struct wazn_model;
struct wazn_session;

/* Zero means the default everywhere. */
struct wazn_model_options {
    void (*log)(void *context, const char *line); /* remarks while opening; NULL: none */
    void *log_context;
    const char *tokenizer;   /* a tokenizer file or folder, where it does not lie beside the weights */
    const char *chat_format; /* "chatml", "llama3" ...; default: told by the model's own template */
    const char *hf_cache;    /* folder of the Hugging Face cache for names like "org/model"; default: none */
    const char *adapter;     /* folder of a LoRA, rsLoRA or DoRA adapter as PEFT writes it; default: none */
    float adapter_scale;     /* how strong it is; default: 1, as it was trained */
};

struct wazn_session_options {
    int context;           /* tokens the session can hold; default: the model's, at most 4096 */
    int threads;           /* default: the physical cores */
    const char *kv_format; /* "f16" (default), "bf16", "q8_0", "f32" */
    int max_tokens;        /* most tokens one call generates; default: until the model ends or the context is full */
    float temperature;     /* 0: the model's own default; negative: greedy */
    float top_p;           /* 0: the model's own default */
    int top_k;             /* 0: the model's own default */
    uint64_t seed;         /* the same seed gives the same text */
};

/* Called with each piece of text (whole UTF-8 characters, not 0-terminated). Return 0 to go on, else generation
 * stops. */
typedef int wazn_token_callback(void *context, const char *text, size_t length);

/* Open a Hugging Face folder, a .gguf or .safetensors file or a cached repository name. options may be NULL.
 * On failure *out is NULL. */
WAZN_API int wazn_model_open(struct wazn_model **out, const char *path, const struct wazn_model_options *options,
    struct wazn_error *err);
WAZN_API void wazn_model_close(struct wazn_model *model); /* after its sessions; NULL is fine */

WAZN_API const char *wazn_model_family(const struct wazn_model *model); /* "llama" */
WAZN_API int64_t wazn_model_parameters(const struct wazn_model *model);
WAZN_API int wazn_model_context(const struct wazn_model *model); /* tokens it was made for */
WAZN_API int32_t wazn_model_vocabulary(const struct wazn_model *model);

WAZN_API int wazn_session_open(struct wazn_session **out, const struct wazn_model *model,
    const struct wazn_session_options *options, struct wazn_error *err);
WAZN_API void wazn_session_close(struct wazn_session *session);

/* Continue `prompt` as plain text (no chat format; BOS in front where the model wants it) from an empty session,
 * reusing what the last call has in common with this one. Each piece of generated text goes to the callback.
 * WAZN_ERROR_LIMIT where the context is full, WAZN_ERROR_CANCELLED where the callback stopped it. */
WAZN_API int wazn_session_generate(struct wazn_session *session, const char *prompt, wazn_token_callback *callback,
    void *context, struct wazn_error *err);

/* One turn of a chat: adds the user's message, generates the answer, remembers both. Special tokens spelled in
 * `message` are plain text. WAZN_ERROR_UNSUPPORTED where the model's chat format is unknown. */
WAZN_API int wazn_session_chat(struct wazn_session *session, const char *message, wazn_token_callback *callback,
    void *context, struct wazn_error *err);

/* Tokens of text; writes at most `capacity` ids and sets *count to how many there are. */
WAZN_API int wazn_tokenize(const struct wazn_model *model, const char *text, size_t length, int32_t *ids,
    size_t capacity, size_t *count, struct wazn_error *err);

WAZN_API const char *wazn_version(void);

#ifdef __cplusplus
}
#endif

#endif
