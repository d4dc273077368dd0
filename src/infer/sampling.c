/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling settings and where they come from. */
#include "infer/sampler.h"

#include <math.h>

static const struct {
    const char *key;
    double off, standard, low, high;
} settings[SAMPLING_COUNT] = {
#define X(id, key, off, standard, low, high) [SAMPLING_##id] = { key, off, standard, low, high },
    SAMPLING_SETTINGS(X)
#undef X
};

const char *sampling_key(enum sampling_setting setting)
{
    return settings[setting].key;
}

double sampling_off(enum sampling_setting setting)
{
    return settings[setting].off;
}

const char *sampling_source_name(enum sampling_source source)
{
    static const char *const names[] = {
        [SAMPLING_DEFAULT] = "default",
        [SAMPLING_MODEL] = "generation_config.json",
        [SAMPLING_USER] = "command line",
    };
    return names[source];
}

static int check_range(enum sampling_setting setting, double value, int code, struct error *err)
{
    if (value >= settings[setting].low && value <= settings[setting].high)
        return 0;
    return error_set(err, code, "sampling setting %s is %g, it must lie between %g and %g", settings[setting].key,
        value, settings[setting].low, settings[setting].high);
}

static int read_setting(struct sampling *s, const json_t *generation, enum sampling_setting setting, struct error *err)
{
    const json_t *member = json_object_get(generation, settings[setting].key);
    if (!json_is_number(member))
        return 0;
    double value = json_number_value(member);
    if (setting == SAMPLING_top_k && value < 0) /* how some files say "off" */
        value = 0;
    int rc = check_range(setting, value, ERROR_FORMAT, err);
    if (rc) {
        error_in(err, "generation_config.json");
        return rc;
    }
    s->at[setting] = value;
    s->source[setting] = SAMPLING_MODEL;
    return 0;
}

int sampling_init(struct sampling *s, const json_t *generation, bool whole, struct error *err)
{
    bool named = false;
    *s = (struct sampling) { 0 };
    for (int i = 0; i < SAMPLING_COUNT; i++) {
        s->at[i] = settings[i].off;
        int rc = generation ? read_setting(s, generation, (enum sampling_setting)i, err) : 0;
        if (rc)
            return rc;
        named = named || s->source[i] == SAMPLING_MODEL;
    }
    const json_t *draws = generation ? json_object_get(generation, "do_sample") : NULL;
    if (json_is_false(draws)) {
        s->at[SAMPLING_temperature] = 0;
        s->source[SAMPLING_temperature] = SAMPLING_MODEL;
        named = true;
    }
    if (!named && !whole) {
        for (int i = 0; i < SAMPLING_COUNT; i++)
            s->at[i] = settings[i].standard;
    }
    return 0;
}

int sampling_set(struct sampling *s, enum sampling_setting setting, double value, struct error *err)
{
    int rc = check_range(setting, value, ERROR_USAGE, err);
    if (rc == 0) {
        s->at[setting] = value;
        s->source[setting] = SAMPLING_USER;
    }
    return rc;
}
