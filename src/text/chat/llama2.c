/* SPDX-License-Identifier: Apache-2.0 */
/* Llama 2: every pair of user and assistant stands between BOS and EOS, the user's words between [INST] and [/INST],
 * which are plain text; the system message is part of the first user's. */
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
    for (size_t i = first; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        if (chat_is(m, "assistant")) {
            chat_says(w, m, CHAT_ANSWER);
            chat_text(w, " ");
            chat_trimmed(w, m->content);
            chat_text(w, " ");
            chat_eos(w);
            chat_silent(w);
            continue;
        }
        chat_bos(w);
        chat_text(w, "[INST] ");
        if (system && i == first) {
            /* White space is trimmed around both together: at the front there is none to trim. */
            size_t n = strlen(chat_content(m));
            chat_text(w, "<<SYS>>\n");
            chat_text(w, system->content);
            chat_text(w, "\n<</SYS>>");
            if (chat_space_back(chat_content(m), n) < n) {
                chat_text(w, "\n\n");
                chat_bytes(w, m->content, n - chat_space_back(m->content, n));
            }
        } else {
            chat_trimmed(w, m->content);
        }
        chat_text(w, " [/INST]");
    }
    return 0;
}

const struct chat_format chat_llama2 = {.name = "llama2",
    .summary = "Llama 2 and Code Llama: [INST] and <<SYS>>",
    .render = render,
    .marks = (const char *const[]){"<<SYS>>", "bos_token + '[INST] ' + content.strip() + ' [/INST]'", NULL},
    .unlike = (const char *const[]){"true == true", NULL}};
