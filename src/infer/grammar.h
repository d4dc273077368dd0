/* SPDX-License-Identifier: Apache-2.0 */
/* What a text must be, byte by byte: a JSON schema compiled to a pushdown automaton.
 *
 * Every text it accepts is JSON that parses and that the schema holds valid; not every valid text is accepted:
 *   - properties come in the order of the schema; optional ones may be left out; names are not repeated, but for the
 *     free names of "additionalProperties"
 *   - "additionalProperties" absent is taken as false; true or a schema allows further names behind the declared ones
 *   - white space: none, one blank, or a new line with up to 32 blanks, inside brackets and behind ',' and ':' only
 *   - numbers that may have a fraction have 15 digits at most, whole ones 18; an exponent, where no bound is set, two
 *   - "pattern" and "format" describe strings as written without needless escapes
 *
 * The subset is that of OpenAI's structured outputs and a little more: type (also a list), properties, required,
 * additionalProperties, items, minItems, maxItems, minLength, maxLength, pattern, format (date-time, date, time,
 * duration, email, hostname, ipv4, ipv6, uuid), minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf (whole
 * numbers), enum, const, anyOf, allOf of one, $ref within the document. Anything else that would narrow what is valid
 * is refused by its path. Spec: JSON Schema 2020-12. */
#ifndef WAZN_INFER_GRAMMAR_H
#define WAZN_INFER_GRAMMAR_H

#include "base/error.h"
#include "base/json.h"

struct grammar; /* read-only once made; may be shared by threads */

/* ERROR_UNSUPPORTED, ERROR_FORMAT (not a schema) and ERROR_LIMIT name the place as a JSON pointer: "#/properties/a".
 * The schema true is any JSON value, {"type": "object"} any object. Bounded in time and memory for any schema. */
int grammar_open(struct grammar **out, const json_t *schema, struct error *err);
void grammar_close(struct grammar *g);

#endif
