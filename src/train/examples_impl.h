/* SPDX-License-Identifier: Apache-2.0 */
/* The forms in which conversations are published, made messages in OpenAI form; private to examples*.c. */
#ifndef WAZN_TRAIN_EXAMPLES_IMPL_H
#define WAZN_TRAIN_EXAMPLES_IMPL_H

#include "base/error.h"
#include "base/json.h"

/* One message of a string; nonzero where it is no string. */
int examples_add(json_t *list, const char *role, const json_t *content);
/* Messages of OpenAI's or ShareGPT's form, or a string that `role` says. */
int examples_add_list(json_t *list, const json_t *from, const char *role, struct error *err);
/* instruction, input, history: all but the output. */
int examples_add_alpaca(json_t *list, const json_t *record, struct error *err);
/* An answer: a string, a whole dialogue with "\n\nHuman:" and "\n\nAssistant:", one message or a list. */
int examples_add_answer(json_t *list, const json_t *from, struct error *err);
/* Move what chosen and rejected begin with alike, up to the last message that is not the assistant's, to the prompt. */
int examples_part(json_t *prompt, json_t *chosen, json_t *rejected, struct error *err);
/* An array, or a string that holds one; functions without their envelope get it. */
int examples_tools_new(json_t **out, const json_t *tools, struct error *err);
/* Roles are known, and nobody says nothing. */
int examples_check(const json_t *list, struct error *err);

#endif
