/* SPDX-License-Identifier: Apache-2.0 */
/* Gemma 1, 2 and 3: <start_of_turn>ROLE\nCONTENT<end_of_turn>\n, the assistant being "model". There is no system role:
 * the message goes in front of the first user's, as Gemma 3's template does (those of 1 and 2 refuse it). */
#include "text/chat/chat_impl.h"

static int render(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    static const char *const roles[] = {"system", "user", "assistant", NULL};
    const struct chat_message *system = chat_system(r);
    size_t first = system ? 1 : 0;
    (void)err;
    if (chat_has_tools(r))
        return chat_refuse(w, "it has no way to offer tools");
    int rc = chat_check_roles(w, r, roles);
    if (rc == 0)
        rc = chat_check_turns(w, r, first);
    if (rc)
        return rc;
    chat_bos(w);
    for (size_t i = first; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        chat_token(w, "<start_of_turn>");
        chat_text(w, chat_is(m, "assistant") ? "model\n" : "user\n");
        if (system && i == first) {
            chat_text(w, system->content);
            chat_text(w, "\n\n");
        }
        chat_says(w, m, CHAT_ANSWER);
        chat_trimmed(w, m->content);
        chat_token(w, "<end_of_turn>");
        chat_silent(w);
        chat_text(w, "\n");
    }
    if (r->add_generation_prompt) {
        chat_token(w, "<start_of_turn>");
        chat_text(w, "model\n");
    }
    return 0;
}

const struct chat_format chat_gemma = {.name = "gemma",
    .summary = "Gemma 1, 2 and 3",
    .render = render,
    .controls = (const char *const[]){"<start_of_turn>", "<end_of_turn>", NULL},
    .stops = (const char *const[]){"<end_of_turn>", NULL},
    .marks = (const char *const[]){"<start_of_turn>", "<end_of_turn>", "model", NULL},
    .unlike = (const char *const[]){"tools", "think", NULL},
    .vocabulary = (const char *const[]){"<start_of_turn>", "<end_of_turn>", NULL}};
