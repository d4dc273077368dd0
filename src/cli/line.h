/* SPDX-License-Identifier: Apache-2.0 */
/* What a person types: with editing and history on a terminal, plain lines otherwise. */
#ifndef WAZN_CLI_LINE_H
#define WAZN_CLI_LINE_H

#include "base/buffer.h"

#include <stdbool.h>

struct line_reader;

/* history: remember lines under $XDG_STATE_HOME/wazn (or ~/.local/state/wazn). NULL without memory. */
struct line_reader *line_open(bool history);
void line_close(struct line_reader *r); /* saves the history */

enum line_result { LINE_TEXT, LINE_END, LINE_INTERRUPTED };

/* The next message, its line end taken off. Lines that arrive at once (a paste into a terminal) are one message, and so
 * are lines that end in a backslash with the one behind. LINE_INTERRUPTED: Ctrl-C, the line is thrown away. */
enum line_result line_read(struct line_reader *r, struct buffer *text);
/* One line, the answer to a question that is shown on a terminal; not remembered. */
enum line_result line_ask(struct line_reader *r, const char *question, struct buffer *text);

#endif
