/* SPDX-License-Identifier: Apache-2.0 */
/* adapter_config.json as PEFT writes it. */
#include "model/adapter_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES_MAX (8u << 20)
#define PATTERN_MAX 512

/* ---- patterns ---- */

struct piece {
    bool any, many; /* any character; any number of those */
    char c;
};

/* Of regular expressions what names are told by: letters as they are, "." and ".*", a backslash in front of what means
 * itself, ^ at the begin and $ at the end. Returns how many pieces, -1 for more than that. */
static int read_pattern(struct piece *out, const char *text)
{
    int n = 0;
    text += *text == '^';
    for (; *text && n < PATTERN_MAX; text++) {
        if (*text == '$' && !text[1])
            return n;
        if (*text == '\\' && text[1] && strchr(".-_/", text[1]))
            out[n++] = (struct piece) { .c = *++text };
        else if (*text == '.' && text[1] == '*')
            out[n++] = (struct piece) { .many = *text++ };
        else if (*text == '.')
            out[n++] = (struct piece) { .any = true };
        else if (strchr("\\^$*+?()[]{}|", *text))
            return -1;
        else
            out[n++] = (struct piece) { .c = *text };
    }
    return *text ? -1 : n;
}

/* All of the text. The last ".*" takes one character more until the rest fits. */
static bool fits(const struct piece *p, int n, const char *text)
{
    int at = 0, star = -1;
    const char *mark = text;
    while (*text) {
        if (at < n && p[at].many) {
            star = at++;
            mark = text;
        } else if (at < n && (p[at].any || p[at].c == *text)) {
            at++;
            text++;
        } else if (star >= 0) {
            at = star + 1;
            text = ++mark;
        } else {
            return false;
        }
    }
    while (at < n && p[at].many)
        at++;
    return at == n;
}

/* re.match("(.*\.)?(pattern)$", name) */
static int pattern_matches(bool *found, const char *pattern, const char *name, struct error *err)
{
    struct piece pieces[PATTERN_MAX];
    int n = read_pattern(pieces, pattern);
    if (n < 0)
        return error_set(err, ERROR_UNSUPPORTED, "the pattern \"%.100s\" is more of a regular expression than letters, "
            "dots and .*", pattern);
    *found = fits(pieces, n, name);
    for (const char *dot = strchr(name, '.'); dot && !*found; dot = strchr(dot + 1, '.'))
        *found = fits(pieces, n, dot + 1);
    return 0;
}

/* The number of the first pattern that fits; *out stays where none does. */
static int pattern_number(double *out, const json_t *patterns, const char *name, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patterns, key, value)
    {
        bool found = false;
        int rc = pattern_matches(&found, key, name, err);
        if (rc)
            return rc;
        if (found && !json_is_number(value))
            return error_set(err, ERROR_FORMAT, "the pattern \"%.100s\" stands for no number", key);
        if (found) {
            *out = json_number_value(value);
            return 0;
        }
    }
    return 0;
}

int adapter_config_module(const struct adapter_config *c, struct adapter_module *m, struct error *err)
{
    char name[NAME_SIZE];
    double rank = c->rank, alpha = c->alpha;
    adapter_module_name(name, m, 0);
    int rc = pattern_number(&rank, json_object_get(c->json, "rank_pattern"), name, err);
    if (rc == 0)
        rc = pattern_number(&alpha, json_object_get(c->json, "alpha_pattern"), name, err);
    if (rc)
        return rc;
    if (!(rank >= 1 && rank <= ADAPTER_RANK_MAX) || rank != floor(rank))
        return error_set(err, ERROR_FORMAT, "\"%s\" has rank %g, expected 1 to %d", name, rank, ADAPTER_RANK_MAX);
    if (!isfinite(alpha) || fabs(alpha) > 1e9)
        return error_set(err, ERROR_FORMAT, "\"%s\" has alpha %g", name, alpha);
    m->rank = (int)rank;
    m->alpha = alpha;
    return 0;
}

bool adapter_config_targets(const struct adapter_config *c, const char *parameter)
{
    const json_t *list = json_object_get(c->json, "target_parameters"), *entry;
    size_t i, n = strlen(parameter);
    json_array_foreach(list, i, entry)
    {
        const char *text = json_is_string(entry) ? json_string_value(entry) : "";
        size_t k = strlen(text);
        if (k > 0 && k <= n && strcmp(parameter + n - k, text) == 0 && (k == n || parameter[n - k - 1] == '.'))
            return true;
    }
    return false;
}

/* ---- reading ---- */

static bool is_set(const json_t *value)
{
    bool empty = (json_is_array(value) && json_array_size(value) == 0) || (json_is_object(value)
        && json_object_size(value) == 0);
    return value && !json_is_null(value) && !json_is_false(value) && !empty;
}

/* What changes the function beside A, B and magnitudes, or the base. */
static int refuse_others(const json_t *c, struct error *err)
{
    static const char *const keys[] = { "modules_to_save", "trainable_token_indices", "lora_bias", "layer_replication",
        "alora_invocation_tokens", "arrow_config", "kasa_config", "monteclora_config", "use_bdlora", "use_qalora",
        "velora_config", NULL };
    static const char *const begins[] = { "gaussian", "eva", "orthogonal", NULL };
    const char *type = json_text(c, "peft_type", ""), *bias = json_text(c, "bias", "none");
    const char *begin = json_text(c, "init_lora_weights", "gaussian");
    bool known = false;
    if (strcmp(type, "LORA") != 0)
        return error_set(err, ERROR_UNSUPPORTED, "it is a \"%.40s\", only LORA is read", type);
    for (const char *const *k = keys; *k; k++)
        if (is_set(json_object_get(c, *k)))
            return error_set(err, ERROR_UNSUPPORTED, "it has \"%s\", which is not read", *k);
    if (strcmp(bias, "none") != 0)
        return error_set(err, ERROR_UNSUPPORTED, "it has biases of its own (bias \"%.20s\"), which are not read", bias);
    for (const char *const *k = begins; *k; k++)
        known = known || strcmp(begin, *k) == 0;
    return known ? 0 : error_set(err, ERROR_UNSUPPORTED, "it began as \"%.40s\", which changes the base too: save it "
        "as plain LoRA", begin);
}

int adapter_config_read(struct adapter_config *out, const char *path, struct error *err)
{
    *out = (struct adapter_config) { 0 };
    int rc = json_read_file_new(&out->json, path, CONFIG_BYTES_MAX, err);
    if (rc)
        return rc;
    const json_t *c = out->json;
    if (!json_is_object(c))
        return error_set(err, ERROR_FORMAT, "\"%s\" is no JSON object", path);
    long long rank = json_whole(c, "r", 8);
    out->rank = rank >= 1 && rank <= ADAPTER_RANK_MAX ? (int)rank : 0; /* what has none of its own is refused */
    out->alpha = json_real_of(c, "lora_alpha", 8);
    out->dropout = json_real_of(c, "lora_dropout", 0);
    out->rank_stabilized = json_flag(c, "use_rslora", false);
    out->magnitude = json_flag(c, "use_dora", false);
    if (!(out->dropout >= 0 && out->dropout < 1))
        return error_set(err, ERROR_FORMAT, "\"lora_dropout\" is %g, it must lie between 0 and 1", out->dropout);
    return refuse_others(c, err);
}

/* ---- writing ---- */

/* Modules by their whole names; those of experts since transformers 5 are parameters. */
static bool list_targets(const struct adapter *a, json_t *modules, json_t *parameters, json_t *ranks, json_t *alphas)
{
    int failed = 0;
    for (size_t i = 0; i < a->n; i++)
        for (int e = 0; e < (a->modules[i].each ? a->modules[i].matrices : 1); e++) {
            const struct adapter_module *m = &a->modules[i];
            char name[NAME_SIZE];
            adapter_module_name(name, m, e);
            failed |= json_array_append_new(m->stacked ? parameters : modules, json_string(name));
            if (m->rank != a->rank)
                failed |= json_object_set_new(ranks, name, json_integer(m->rank));
            if (m->alpha < a->alpha || m->alpha > a->alpha)
                failed |= json_object_set_new(alphas, name, json_real(m->alpha));
        }
    return failed == 0;
}

int adapter_config_new(json_t **out, const struct adapter *a, const char *base, struct error *err)
{
    char identity[ADAPTER_BASE_SIZE];
    bool turned = false, stacked = false;
    *out = NULL;
    int rc = adapter_base(identity, a->base, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < a->n; i++) {
        turned = turned || (a->modules[i].turned && !a->modules[i].stacked);
        stacked = stacked || a->modules[i].stacked;
    }
    json_t *modules = json_array(), *parameters = json_array(), *ranks = json_object(), *alphas = json_object();
    bool listed = modules && parameters && ranks && alphas && list_targets(a, modules, parameters, ranks, alphas);
    /* PEFT refuses dropout beside parameters, also where nothing is trained */
    *out = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:b, s:b, s:b, s:b, s:s, s:o, s:o, s:o, s:o, s:{s:s}}",
        "peft_type", "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "r", a->rank, "lora_alpha",
        a->alpha, "lora_dropout", stacked ? 0.0 : a->dropout, "use_rslora", a->rank_stabilized, "use_dora",
        a->magnitude, "fan_in_fan_out", turned, "inference_mode", true, "bias", "none",
        "target_modules", modules, "target_parameters", parameters, "rank_pattern", ranks, "alpha_pattern", alphas,
        "wazn", "base", identity);
    return *out && listed ? 0 : error_memory(err, 0, ADAPTER_CONFIG);
}
