/* SPDX-License-Identifier: Apache-2.0 */
#include "model/parameter.h"

#include <stdio.h>

void parameter_name(char out[PARAMETER_NAME], int role, int layer)
{
    if (role < N_LAYER_ROLES)
        snprintf(out, PARAMETER_NAME, "layers.%d.%s", layer, role_name(role));
    else
        snprintf(out, PARAMETER_NAME, "%s", role_name(role));
}

enum parameter_kind parameter_kind(int role, const struct role_shape *shape)
{
    if (shape->kind == ROLE_TABLE || role == ROLE_output)
        return PARAMETER_TABLE;
    return shape->kind == ROLE_MATRIX || shape->kind == ROLE_EXPERTS ? PARAMETER_MATRIX : PARAMETER_VECTOR;
}
