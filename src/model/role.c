/* SPDX-License-Identifier: Apache-2.0 */
#include "model/role.h"

#include <assert.h>

struct role_shape role_shape(const struct spec *s, int role, int layer)
{
    const struct spec_layer *l = &s->layer[role < N_LAYER_ROLES ? layer : 0];
    switch (role) {
#define R(name, n_rows, n_columns, role_kind, is_wanted) \
    case ROLE_##name: \
        return (struct role_shape) { (n_rows), (n_columns), (role_kind), (is_wanted) };
        LAYER_ROLES(R)
        GLOBAL_ROLES(R)
#undef R
    default:
        assert(!"a role");
        return (struct role_shape) { 0 };
    }
}

const char *role_name(int role)
{
    static const char *const names[N_ROLES] = {
#define R(name, rows, columns, kind, wanted) [ROLE_##name] = #name,
        LAYER_ROLES(R) GLOBAL_ROLES(R)
#undef R
    };
    return names[role];
}
