/* SPDX-License-Identifier: Apache-2.0 */
/* The number that a text ends in, as people and models write answers. */
#ifndef WAZN_TRAIN_NUMBER_H
#define WAZN_TRAIN_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* Where "####" stands (GSM8K), the first number behind the last of them; else where \boxed{} stands, the last number
 * in the last of them; else the last number of the text. A number is digits, perhaps with a sign (a minus of Unicode
 * too), commas between groups of three, a decimal part and an exponent; or a fraction of two such as 3/4 or
 * \frac{3}{4} (\dfrac, \tfrac). A dash behind a letter, a digit or a bracket is no sign. False where there is none that
 * a double can hold. Any bytes may come. */
bool number_of_answer(const char *text, size_t n, double *out);

/* Whether they are the same but for the rounding of doubles. */
bool number_equal(double a, double b);

#endif
