/* SPDX-License-Identifier: Apache-2.0 */
/* Zephyr, TinyLlama chat and others: <|ROLE|>\nCONTENT EOS \n. The role marks are plain text, no BOS stands in front.
 */
#include "text/chat/chat_impl.h"

static int render(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    static const char *const roles[] = {"system", "user", "assistant", NULL};
    (void)err;
    if (chat_has_tools(r))
        return chat_refuse(w, "it has no way to offer tools");
    int rc = chat_check_roles(w, r, roles);
    if (rc)
        return rc;
    for (size_t i = 0; i < r->n_messages; i++) {
        chat_text(w, "<|");
        chat_text(w, r->messages[i].role);
        chat_text(w, "|>\n");
        chat_says(w, &r->messages[i], CHAT_ANSWER);
        chat_text(w, r->messages[i].content);
        chat_eos(w);
        chat_silent(w);
        chat_text(w, "\n");
    }
    if (r->add_generation_prompt && r->n_messages > 0)
        chat_text(w, "<|assistant|>\n");
    return 0;
}

const struct chat_format chat_zephyr = {.name = "zephyr",
    .summary = "Zephyr and TinyLlama chat",
    .render = render,
    .marks = (const char *const[]){"<|user|>", "<|system|>", "<|assistant|>", "eos_token", NULL},
    .unlike = (const char *const[]){"<|end|>", "<|im_start|>", "tools", "bos_token", "think", NULL}};
