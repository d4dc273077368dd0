/* SPDX-License-Identifier: Apache-2.0 */
/* What the person at the other end sees: widths, colours left out, foreign text made harmless, Ctrl-C. */
#ifndef WAZN_CLI_TERMINAL_H
#define WAZN_CLI_TERMINAL_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

bool terminal_is(FILE *stream);
bool terminal_has_styles(FILE *stream); /* a terminal that dims text, and a person who wants it (NO_COLOR) */
int terminal_columns(FILE *stream); /* 60 to 120; 100 where it is not a terminal */

/* Append text that a terminal may be given: control characters (C0 but \n and \t, DEL, C1) become \xNN, malformed UTF-8
 * too; everything else, right-to-left text included, passes unchanged. text must not end inside a sequence. */
void terminal_clean(struct buffer *out, const char *text, size_t n);

/* "1.5 GiB", "12 KiB", "17 B". */
const char *terminal_bytes(char text[32], uint64_t bytes);
/* "124.4 M", "7.24 B". */
const char *terminal_count(char text[32], uint64_t count);

/* From now on the first Ctrl-C only raises a flag; a second before the flag is lowered ends the program (130). */
void interrupt_catch(void);
bool interrupt_seen(void);
void interrupt_lower(void);

#endif
