/* SPDX-License-Identifier: Apache-2.0 */
#include "model/role.h"

#include <assert.h>
#include <string.h>

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

int64_t role_output(const struct spec *s, int role, bool interleaved, int64_t to)
{
    int64_t head = s->head_dim, half = head / 2, begin = to / head * head, k = to % head;
    bool turned = role == ROLE_q || role == ROLE_k || role == ROLE_q_bias || role == ROLE_k_bias;
    if (s->rope_interleaved == interleaved || !turned)
        return to;
    return begin + (interleaved ? k % 2 * half + k / 2 : k % half * 2 + k / half);
}

int role_find(const char *name, size_t n)
{
    for (int role = 0; role < N_ROLES; role++)
        if (strlen(role_name(role)) == n && memcmp(role_name(role), name, n) == 0)
            return role;
    return -1;
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
