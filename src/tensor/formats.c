/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/format.h"

#include <strings.h>

const struct format *const formats[FORMAT_COUNT] = {
#define X(name) &format_##name,
    FORMATS(X)
#undef X
};

const struct format *format_find(const char *name)
{
    for (int i = 0; i < FORMAT_COUNT; i++)
        if (strcasecmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}
