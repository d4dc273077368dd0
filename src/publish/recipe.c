/* SPDX-License-Identifier: Apache-2.0 */
#include "publish/recipe.h"

#include "file/gguf_write.h"
#include "model/arch.h"
#include "model/role.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum recipe_id {
    Q2_K_S, Q2_K, Q3_K_S, Q3_K, Q3_K_M, Q3_K_L, MXFP4, Q4_0, IQ4_NL, Q4_K, Q4_K_S, Q4_K_M, Q4_1, Q5_0, Q5_K, Q5_K_S,
    Q5_K_M, Q5_1, Q6_K, Q8_0, BF16, F16, F32
};

/* The numbers are those of llama.cpp's enum llama_ftype. */
const struct recipe recipes[] = {
    [Q2_K_S] = { "q2_k_s", &format_q2_k, 21 },
    [Q2_K] = { "q2_k", &format_q2_k, 10 },
    [Q3_K_S] = { "q3_k_s", &format_q3_k, 11 },
    [Q3_K] = { "q3_k", &format_q3_k, 11 },
    [Q3_K_M] = { "q3_k_m", &format_q3_k, 12 },
    [Q3_K_L] = { "q3_k_l", &format_q3_k, 13 },
    [MXFP4] = { "mxfp4", &format_mxfp4, 38 },
    [Q4_0] = { "q4_0", &format_q4_0, 2 },
    [IQ4_NL] = { "iq4_nl", &format_iq4_nl, 25 },
    [Q4_K] = { "q4_k", &format_q4_k, 14 },
    [Q4_K_S] = { "q4_k_s", &format_q4_k, 14 },
    [Q4_K_M] = { "q4_k_m", &format_q4_k, 15 },
    [Q4_1] = { "q4_1", &format_q4_1, 3 },
    [Q5_0] = { "q5_0", &format_q5_0, 8 },
    [Q5_K] = { "q5_k", &format_q5_k, 16 },
    [Q5_K_S] = { "q5_k_s", &format_q5_k, 16 },
    [Q5_K_M] = { "q5_k_m", &format_q5_k, 17 },
    [Q5_1] = { "q5_1", &format_q5_1, 9 },
    [Q6_K] = { "q6_k", &format_q6_k, 18 },
    [Q8_0] = { "q8_0", &format_q8_0, 7 },
    [BF16] = { "bf16", &format_bf16, 32 },
    [F16] = { "f16", &format_f16, 1 },
    [F32] = { "f32", &format_f32, 0 },
};
const size_t recipe_count = sizeof recipes / sizeof recipes[0];

const struct recipe *recipe_find(const char *name)
{
    for (size_t i = 0; i < recipe_count; i++)
        if (strcasecmp(recipes[i].name, name) == 0)
            return &recipes[i];
    return NULL;
}

void recipe_names(struct buffer *out)
{
    for (size_t i = 0; i < recipe_count; i++)
        buffer_printf(out, "%s%s", i ? ", " : "", recipes[i].name);
}

double format_bits(const struct format *f)
{
    return 8.0 * f->block_bytes / f->block;
}

/* ---- rules ---- */

int keep_read(struct keep_rule rules[KEEP_RULES_MAX], size_t *count, const char *text, struct error *err)
{
    *count = 0;
    while (*text) {
        size_t n = strcspn(text, ","), name = strcspn(text, "=,");
        char format[16] = "";
        if (*count == KEEP_RULES_MAX || name == 0)
            return error_set(err, ERROR_USAGE, "\"%.60s\" is no rule like output=q8_0,blk.0.* (at most %d)", text,
                KEEP_RULES_MAX);
        if (name < n && n - name - 1 < sizeof format)
            memcpy(format, text + name + 1, n - name - 1);
        const struct format *f = *format ? format_find(format) : NULL;
        if (name < n && (!f || !f->encode || f == &format_q8_1 || f == &format_q8_k))
            return error_set(err, ERROR_USAGE, "rule \"%.*s\" names no format that can be written", (int)n, text);
        rules[(*count)++] = (struct keep_rule) { text, name, f };
        text += n + (text[n] == ',');
    }
    return 0;
}

/* Wildcards one star at a time: the last star takes more text until the rest fits. */
static bool glob(const char *pattern, size_t n, const char *text)
{
    size_t at = 0, star = n, mark = 0, i = 0;
    while (text[i]) {
        if (at < n && pattern[at] == '*') {
            star = at++;
            mark = i;
        } else if (at < n && pattern[at] == text[i]) {
            at++;
            i++;
        } else if (star < n) {
            at = star + 1;
            i = ++mark;
        } else {
            return false;
        }
    }
    while (at < n && pattern[at] == '*')
        at++;
    return at == n;
}

bool keep_matches(const struct keep_rule *r, const struct saved_tensor *t)
{
    return !t->vector && (glob(r->pattern, r->n, t->name) || glob(r->pattern, r->n, role_name(t->role)));
}

/* ---- llama.cpp's mixes ---- */

/* What a recipe may look at. Roles that are one tensor when fused count as their first. */
struct place_in_model {
    const struct spec *s;
    enum recipe_id id;
    int role, layer;
    bool fused, imatrix;
};

/* The first and last eighth of the layers, and every third between. */
static bool more_bits(int layer, int layers)
{
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static const struct format *for_values(const struct place_in_model *p, const struct format *f)
{
    int group = p->s->heads / p->s->kv_heads, layers = p->s->layers;
    bool large = layers == 80 && (p->s->arch == &arch_llama || p->s->arch == &arch_qwen2);
    if (p->id == Q2_K)
        f = group >= 4 ? &format_q4_k : &format_q3_k;
    else if (p->id == Q2_K_S && group >= 4)
        f = &format_q4_k;
    else if (p->id == Q3_K_M)
        f = p->layer < 2 ? &format_q5_k : &format_q4_k;
    else if (p->id == Q3_K_L || (p->id == IQ4_NL && group >= 4) || (p->id == Q4_K_S && p->layer < 4))
        f = &format_q5_k;
    else if ((p->id == Q4_K_M || p->id == Q5_K_M) && more_bits(p->layer, layers))
        f = &format_q6_k;
    if (large && (f == &format_q3_k || f == &format_q4_k))
        f = &format_q5_k;
    return p->s->experts == 8 ? &format_q8_0 : f;
}

static const struct format *for_down(const struct place_in_model *p, const struct format *f)
{
    int layers = p->s->layers;
    bool first = p->layer < layers / 8;
    switch (p->id) {
    case Q2_K: return &format_q3_k;
    case Q2_K_S: return first ? &format_q4_k : f;
    case Q3_K_M: return p->layer < layers / 16 ? &format_q5_k : &format_q4_k;
    case Q3_K_L: return &format_q5_k;
    case Q4_K_M:
    case Q5_K_M: return more_bits(p->layer, layers) ? &format_q6_k : f;
    case Q4_K_S: return first ? &format_q5_k : f;
    case IQ4_NL: return first && !p->imatrix ? &format_q5_k : f;
    case Q4_0: return first && p->imatrix ? &format_q4_1 : f;
    case Q5_0: return first && p->imatrix ? &format_q5_1 : f;
    default: return f;
    }
}

static const struct format *for_attention_out(const struct place_in_model *p, const struct format *f)
{
    if (p->s->experts == 8) {
        bool small = p->id == Q2_K || p->id == Q3_K_S || p->id == Q3_K_M || p->id == IQ4_NL || p->id == Q4_K_S
            || p->id == Q4_K_M;
        return small ? &format_q5_k : f;
    }
    return p->id == Q2_K ? &format_q3_k : p->id == Q3_K_M ? &format_q4_k : p->id == Q3_K_L ? &format_q5_k : f;
}

static const struct format *mixed(const struct place_in_model *p, const struct format *f, int64_t cols)
{
    bool output = p->role == ROLE_output || (p->s->tied && p->role == ROLE_token_embedding);
    bool experts = p->role == ROLE_expert_gate || p->role == ROLE_expert_up || p->role == ROLE_expert_down;
    bool plain = p->id == Q3_K || p->id == Q4_K || p->id == Q5_K;
    if (f->block == 1)
        return f;
    if (p->id == MXFP4)
        return !output && p->role != ROLE_token_embedding && (experts || !p->s->experts) ? f : &format_q8_0;
    if (output)
        return cols % f->block != 0 || f == &format_q8_0 ? &format_q8_0 : &format_q6_k;
    if (plain)
        return f;
    if (p->role == ROLE_v || (p->role == ROLE_q && p->fused))
        return for_values(p, f);
    if (p->role == ROLE_k)
        return p->s->experts == 8 ? &format_q8_0 : f;
    if (p->role == ROLE_down || p->role == ROLE_expert_down)
        return for_down(p, f);
    return p->role == ROLE_attn_out ? for_attention_out(p, f) : f;
}

const struct format *format_that_fits(const struct format *f, int64_t cols)
{
    static const struct format *const smaller[FORMAT_COUNT] = { [FORMAT_q2_k] = &format_q4_0,
        [FORMAT_q3_k] = &format_q4_0, [FORMAT_q4_k] = &format_q5_0, [FORMAT_q5_k] = &format_q5_1,
        [FORMAT_q6_k] = &format_q8_0 };
    if (cols % f->block != 0 && smaller[f->id])
        f = smaller[f->id];
    return cols % f->block == 0 ? f : &format_f16;
}

/* ---- together ---- */

/* Stored as a float whatever the recipe says. */
static bool stays_float(const struct saved_tensor *t)
{
    return t->vector || t->role == ROLE_router || t->role == ROLE_position_table;
}

static const struct format *unquantized(const struct saved_tensor *t, enum source_kind kind)
{
    if (kind == SOURCE_GGUF)
        return stays_float(t) ? &format_f32 : gguf_format_number(t->format) < 0 ? &format_bf16 : t->format;
    return t->format; /* blocks that a folder cannot hold are refused there, not decoded unasked */
}

static const struct format *choose(const struct save *s, size_t i, enum source_kind kind, const struct recipe *r,
    bool imatrix)
{
    const struct saved_tensor *t = save_tensor(s, i);
    const struct format *now = unquantized(t, kind);
    if (!r || t->vector || (stays_float(t) && (kind == SOURCE_GGUF || r->format->block > 1)))
        return now;
    if (kind != SOURCE_GGUF) /* of blocks, a folder holds MXFP4's experts */
        return r->format == &format_mxfp4 && !t->mxfp4 ? now : r->format;
    struct place_in_model place = { .s = save_spec(s), .id = (enum recipe_id)(r - recipes), .role = t->role,
        .layer = t->layer, .fused = t->parts > 1, .imatrix = imatrix };
    const struct format *f = format_that_fits(mixed(&place, r->format, t->cols), t->cols);
    /* what was rounded already only loses by more bits */
    return now->block > 1 && f->block > 1 && format_bits(now) <= format_bits(f) ? now : f;
}

static int follow_rules(const struct format **f, const struct saved_tensor *t, const struct keep_rule *rules, size_t n,
    bool *used, struct error *err)
{
    for (size_t k = 0; k < n; k++) {
        if (!keep_matches(&rules[k], t))
            continue;
        used[k] = true;
        *f = rules[k].format ? rules[k].format : t->format;
        if (t->cols % (*f)->block == 0)
            return 0;
        return error_set(err, ERROR_USAGE, "tensor \"%s\" has rows of %lld numbers, which blocks of %d (%s) do not "
            "divide", t->name, (long long)t->cols, (*f)->block, (*f)->name);
    }
    return 0;
}

int recipe_apply(const struct format **formats_out, const struct save *s, enum source_kind kind, const struct recipe *r,
    const struct keep_rule *rules, size_t n_rules, bool imatrix, struct error *err)
{
    bool used[KEEP_RULES_MAX] = { false };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < save_count(s); i++) {
        formats_out[i] = choose(s, i, kind, r, imatrix);
        rc = follow_rules(&formats_out[i], save_tensor(s, i), rules, n_rules, used, err);
    }
    for (size_t k = 0; rc == 0 && k < n_rules; k++)
        if (!used[k])
            rc = error_set(err, ERROR_USAGE, "no tensor is called \"%.*s\"", (int)rules[k].n, rules[k].pattern);
    return rc;
}
