/* SPDX-License-Identifier: Apache-2.0 */
/* No format: what is said, one message after another, begun as the model's own files begin a text. */
#include "text/chat/chat_impl.h"

static int render(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    if (chat_has_tools(r))
        return chat_refuse(w, "it has no way to offer tools");
    if (tokenizer_adds_bos(w->tokenizer))
        chat_bos(w);
    w->flags = 0;
    for (size_t i = 0; i < r->n_messages; i++) {
        chat_says(w, &r->messages[i], CHAT_ANSWER);
        chat_text(w, r->messages[i].content);
        chat_silent(w);
    }
    return 0;
}

const struct chat_format chat_plain = {
    .name = "plain", .summary = "no format: the messages' text as it is", .render = render};
