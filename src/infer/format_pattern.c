/* SPDX-License-Identifier: Apache-2.0 */
/* Formats of strings as regular expressions. */
#include "infer/grammar_impl.h"

#include <string.h>

/* RFC 3339, without leap seconds; the year 0000 is left out, which many calendars lack. */
#define YEAR "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
#define LEAP_YEAR "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
#define DATE \
    "(" YEAR "-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)" \
    "|02-(0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEAR "-02-29)"
#define TIME "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"

/* RFC 1123: labels of letters, digits and inner hyphens; RFC 5321: a dot-atom of ASCII before the '@'. */
#define LABEL "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
#define ATOM "[A-Za-z0-9_+-]{1,20}"

/* RFC 4291; "::" stands for one group or more. */
#define BYTE "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define GROUP "[0-9a-fA-F]{1,4}"
#define IPV6 \
    "(" GROUP ":){7}" GROUP "|::(" GROUP "(:" GROUP "){0,6})?|" GROUP "::(" GROUP "(:" GROUP "){0,5})?" \
    "|" GROUP ":" GROUP "::(" GROUP "(:" GROUP "){0,4})?|" GROUP "(:" GROUP "){2}::(" GROUP "(:" GROUP "){0,3})?" \
    "|" GROUP "(:" GROUP "){3}::(" GROUP "(:" GROUP "){0,2})?|" GROUP "(:" GROUP "){4}::(" GROUP "(:" GROUP ")?)?" \
    "|" GROUP "(:" GROUP "){5}::(" GROUP ")?|" GROUP "(:" GROUP "){6}::"

/* ISO 8601 as RFC 3339, appendix A has it. */
#define COUNT "[0-9]{1,9}"
#define CLOCK "T(" COUNT "H(" COUNT "M(" COUNT "S)?)?|" COUNT "M(" COUNT "S)?|" COUNT "S)"
#define DAYS "(" COUNT "Y(" COUNT "M(" COUNT "D)?)?|" COUNT "M(" COUNT "D)?|" COUNT "D)"
#define DURATION "P(" DAYS "(" CLOCK ")?|" CLOCK "|" COUNT "W)"

static const struct {
    const char *name, *pattern;
} formats[] = {
    { "date", "^" DATE "$" },
    { "time", "^" TIME "$" },
    { "date-time", "^" DATE "T" TIME "$" },
    { "duration", "^" DURATION "$" },
    { "email", "^" ATOM "(\\." ATOM "){0,2}@" LABEL "(\\." LABEL "){1,2}$" },
    { "hostname", "^" LABEL "(\\." LABEL "){0,2}$" },
    { "ipv4", "^(" BYTE "\\.){3}" BYTE "$" },
    { "ipv6", "^(" IPV6 ")$" },
    { "uuid", "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" },
};

const char *format_pattern(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, name) == 0)
            return formats[i].pattern;
    return NULL;
}
