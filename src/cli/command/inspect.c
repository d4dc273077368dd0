/* SPDX-License-Identifier: Apache-2.0 */
/* wazn inspect: what a model is and what it takes, without running it. Everything is gathered as JSON; the text for
 * people is written from that, so the two never differ. */
#include "cli/command.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/terminal.h"

#include "file/digest.h"
#include "file/licence.h"
#include "model/arch.h"
#include "publish/loss.h"

#include <string.h>

static json_t *files_json(const struct loaded *l)
{
    static const char *const kinds[] = { [SOURCE_SAFETENSORS] = "safetensors", [SOURCE_GGUF] = "gguf",
        [SOURCE_LLAMA2C] = "llama2.c" };
    json_t *files = json_array();
    for (size_t i = 0; i < source_file_count(l->source); i++) {
        uint64_t bytes;
        const char *path = source_file(l->source, i, &bytes);
        json_array_append_new(files, json_pack("{s:o, s:s, s:I}", "path", json_string_new(path, strlen(path)), "kind",
            kinds[source_kind(l->source)], "file_bytes", (json_int_t)bytes));
    }
    return files;
}

static json_t *tensors_json(const struct source *s)
{
    json_t *formats_found = json_object();
    for (size_t i = 0; i < source_tensor_count(s); i++) {
        const struct file_tensor *t = source_tensor(s, i);
        const char *name = t->format ? t->format->name : t->type_name;
        json_t *entry = json_object_get(formats_found, name);
        if (!entry) {
            entry = json_pack("{s:I, s:I}", "tensors", (json_int_t)0, "stored_bytes", (json_int_t)0);
            json_object_set_new(formats_found, name, entry);
        }
        json_integer_set(json_object_get(entry, "tensors"), 1 + json_integer_value(json_object_get(entry, "tensors")));
        json_integer_set(json_object_get(entry, "stored_bytes"),
            (json_int_t)t->bytes + json_integer_value(json_object_get(entry, "stored_bytes")));
    }
    return formats_found;
}

static json_t *layers_json(const struct spec *s)
{
    int windowed = 0, with_experts = 0, window = 0;
    for (int i = 0; i < s->layers; i++) {
        windowed += s->layer[i].window > 0;
        with_experts += s->layer[i].moe;
        window = s->layer[i].window > window ? s->layer[i].window : window;
    }
    json_t *layers = json_pack("{s:i}", "count", s->layers);
    if (windowed > 0) {
        json_object_set_new(layers, "with_window", json_integer(windowed));
        json_object_set_new(layers, "window", json_integer(window));
    }
    if (with_experts > 0)
        json_object_set_new(layers, "with_experts", json_integer(with_experts));
    return layers;
}

static void add_model(json_t *out, const struct model *m)
{
    const struct spec *s = model_spec(m);
    struct model_size size;
    model_measure(m, &size);
    json_object_set_new(out, "family", json_string(s->arch->name));
    json_object_set_new(out, "parameters",
        json_pack("{s:I, s:I}", "total", (json_int_t)size.parameters, "active", (json_int_t)size.active));
    json_object_set_new(out, "layers", layers_json(s));
    json_object_set_new(out, "sizes", json_pack("{s:i, s:i, s:i, s:i, s:i, s:I}", "dim", s->dim, "heads", s->heads,
        "kv_heads", s->kv_heads, "head_dim", s->head_dim, "ffn", s->ffn, "vocabulary", (json_int_t)s->vocabulary));
    if (s->experts > 0)
        json_object_set_new(out, "experts",
            json_pack("{s:i, s:i, s:i}", "count", s->experts, "used", s->experts_used, "ffn", s->expert_ffn));
    json_object_set_new(out, "context", json_integer(s->context));
}

static json_t *adapters_json(const struct loaded *l)
{
    json_t *list = json_array();
    for (int i = 0; i < l->n_adapters; i++) {
        const struct loaded_adapter *a = &l->adapters[i];
        struct adapter_about about;
        struct buffer roles = { 0 };
        adapter_describe(a->adapter, &about);
        for (int r = 0; r < N_ROLES; r++)
            if (about.roles[r])
                buffer_printf(&roles, "%s%s", roles.used ? " " : "", role_name(r));
        json_array_append_new(list, json_pack("{s:o, s:s, s:i, s:f, s:f, s:I, s:I, s:s}", "path",
            json_string_new(a->path, strlen(a->path)), "kind",
            about.magnitude ? "dora" : about.rank_stabilized ? "rslora" : "lora", "rank", about.rank, "alpha",
            about.alpha, "scale", a->scale, "matrices", (json_int_t)about.modules, "parameters",
            (json_int_t)about.parameters, "beside", roles.data ? roles.data : ""));
        buffer_release(&roles);
    }
    return list;
}

static json_t *special_json(const struct tokenizer *t)
{
    static const char *const names[TOKEN_ROLE_COUNT] = { [TOKEN_BOS] = "bos", [TOKEN_EOS] = "eos", [TOKEN_UNK] = "unk",
        [TOKEN_PAD] = "pad", [TOKEN_EOT] = "eot" };
    json_t *special = json_object();
    for (int role = 0; role < TOKEN_ROLE_COUNT; role++) {
        int32_t id = tokenizer_special(t, (enum token_role)role);
        size_t n = 0;
        if (id < 0)
            continue;
        const char *piece = tokenizer_piece(t, id, &n);
        json_object_set_new(special, names[role], json_pack("{s:i, s:o}", "id", (int)id, "text",
            json_string_new(piece ? piece : "", n)));
    }
    return special;
}

static void add_text(json_t *out, struct loaded *l)
{
    struct error err = { 0 };
    if (loaded_tokenizer(l, &err) != 0) {
        json_object_set_new(out, "tokenizer", json_pack("{s:s}", "problem", err.text));
        return;
    }
    json_object_set_new(out, "tokenizer", json_pack("{s:s, s:i, s:b}", "kind", tokenizer_describe(l->tokenizer), "size",
        (int)tokenizer_size(l->tokenizer), "adds_bos", tokenizer_adds_bos(l->tokenizer)));
    json_object_set_new(out, "special_tokens", special_json(l->tokenizer));
    if (loaded_format(l, &err) != 0)
        json_object_set_new(out, "chat_format", json_pack("{s:s}", "problem", err.text));
    else if (l->format)
        json_object_set_new(out, "chat_format", json_string(l->format->name));
    else
        json_object_set_new(out, "chat_format", json_null());
}

static int add_sampling(json_t *out, const struct loaded *l, struct error *err)
{
    struct sampling s;
    int rc = sampling_init(&s, source_generation(l->source), l->format && l->format->samples_whole, err);
    json_t *sampling = json_object();
    for (int i = 0; rc == 0 && i < SAMPLING_COUNT; i++)
        json_object_set_new(sampling, sampling_key((enum sampling_setting)i), json_pack("{s:f, s:s}", "value", s.at[i],
            "source", loaded_setting_source(l, s.source[i])));
    json_object_set_new(out, "sampling", sampling);
    return rc;
}

static json_t *licence_json(const struct source *s)
{
    struct licence_finding findings[LICENCE_FINDINGS_MAX];
    json_t *list = json_array();
    size_t n = licence_search(findings, s);
    for (size_t i = 0; i < n; i++) {
        const struct licence_finding *f = &findings[i];
        json_t *restrictions = json_array();
        for (int k = 0; f->licence && k < LICENCE_RESTRICTIONS_MAX && f->licence->restrictions[k]; k++)
            json_array_append_new(restrictions, json_string(f->licence->restrictions[k]));
        json_t *entry = json_pack("{s:o, s:s}", "where", json_string_new(f->where, strlen(f->where)), "name",
            f->licence ? f->licence->name : "not known: read it");
        if (f->said[0])
            json_object_set_new(entry, "said", json_string_new(f->said, strlen(f->said)));
        json_object_set_new(entry, "restrictions", restrictions);
        json_array_append_new(list, entry);
    }
    return list;
}

static int add_plan(json_t *out, struct loaded *l, struct error *err)
{
    const struct plan *p = &l->plan;
    int rc = loaded_plan(l, 0, 1, sampler_bytes(model_spec(l->model)->vocabulary), err);
    if (rc)
        return rc;
    json_object_set_new(out, "plan", json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "context", p->context,
        "kv_format", l->session_options.kv_format->name, "weights_bytes",
        (json_int_t)(p->weights_mapped + p->weights_copied), "kv_bytes", (json_int_t)p->kv, "scratch_bytes",
        (json_int_t)p->scratch, "process_bytes", (json_int_t)p->process, "total_bytes", (json_int_t)p->total,
        "available_bytes", (json_int_t)p->available, "fits", plan_fits(p)));
    return 0;
}

static bool show_bytes(void *context, uint64_t done, uint64_t total)
{
    progress_update(context, done, total);
    return !interrupt_seen();
}

static int add_digests(json_t *out, const struct loaded *l, struct error *err)
{
    json_t *files = json_object_get(out, "files");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < source_file_count(l->source); i++) {
        struct progress progress;
        char text[DIGEST_TEXT_SIZE];
        uint64_t bytes;
        const char *path = source_file(l->source, i, &bytes);
        progress_begin(&progress, "SHA-256", NULL, l->args->at[OPT_quiet].set);
        rc = digest_file(text, path, show_bytes, &progress, err);
        progress_end(&progress);
        if (rc == 0)
            json_object_set_new(json_array_get(files, i), "sha256", json_string(text));
    }
    return rc;
}

/* ---- for people ---- */

static void print_scalar(const char *key, const json_t *value)
{
    char number[32];
    size_t n = strlen(key);
    if (json_is_integer(value) && n > 6 && strcmp(key + n - 6, "_bytes") == 0)
        fputs(terminal_bytes(number, (uint64_t)json_integer_value(value)), stdout);
    else if (json_is_integer(value) && (strcmp(key, "total") == 0 || strcmp(key, "active") == 0))
        fputs(terminal_count(number, (uint64_t)json_integer_value(value)), stdout);
    else if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("%g", json_real_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? "yes" : "no", stdout);
    else if (json_is_null(value))
        fputs("none", stdout);
    else if (json_is_string(value)) {
        struct buffer clean = { 0 };
        terminal_clean(&clean, json_string_value(value), json_string_length(value));
        fputs(clean.data ? clean.data : "", stdout);
        buffer_release(&clean);
    }
}

static void print_key(const char *key, int width)
{
    size_t n = strlen(key), shown = n > 6 && strcmp(key + n - 6, "_bytes") == 0 ? n - 6 : n;
    for (size_t i = 0; i < shown; i++)
        putchar(key[i] == '_' ? ' ' : key[i]);
    printf("%*s", (int)shown < width ? width - (int)shown : 0, "");
}

static void print_flat(const json_t *object)
{
    const char *key, *separator = "";
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        fputs(separator, stdout);
        print_key(key, 0);
        putchar(' ');
        print_scalar(key, value);
        separator = ", ";
    }
}

/* A member that holds a value with its source, or several things under a name of its own. */
static void print_member(const char *key, const json_t *value)
{
    const char *source = json_text(value, "source", NULL);
    if (source || !json_is_object(value)) {
        print_key(key, 22);
        print_scalar(key, source ? json_object_get(value, "value") : value);
        if (source)
            printf("  (%s)", source);
    } else {
        printf("%-22s", key); /* a name from the model: as it is */
        print_flat(value);
    }
    putchar('\n');
}

/* Few plain numbers stand on one line; else a line each. */
static void print_object(const json_t *object)
{
    const char *key;
    json_t *value;
    size_t members = json_object_size(object);
    bool nested = members == 0 || members > 4, first = true;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        nested = nested || json_is_object(value);
    }
    if (!nested) {
        print_flat(object);
        putchar('\n');
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        printf(first ? "%s" : "%18s", "");
        print_member(key, value);
        first = false;
    }
    if (first)
        puts("none");
}

static void print_list(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i), *restrictions = json_object_get(entry, "restrictions");
        json_t *rest = json_copy((json_t *)(uintptr_t)entry);
        json_object_del(rest, "restrictions");
        printf(i ? "%18s" : "%s", "");
        print_flat(rest);
        putchar('\n');
        json_decref(rest);
        for (size_t k = 0; k < json_array_size(restrictions); k++)
            printf("%18s! %s\n", "", json_string_value(json_array_get(restrictions, k)));
    }
    if (json_array_size(list) == 0)
        puts("none found");
}

static void print_text(const json_t *out)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)out, key, value)
    {
        char padded[32];
        snprintf(padded, sizeof padded, "%s", key);
        for (char *c = padded; *c; c++)
            *c = *c == '_' ? ' ' : *c;
        printf("%-16s  ", padded);
        if (json_is_array(value)) {
            print_list(value);
        } else if (json_is_object(value)) {
            print_object(value);
        } else {
            print_scalar(key, value);
            putchar('\n');
        }
    }
}

/* ---- the command ---- */

/* What can be told is told; the first thing that cannot be read is also the command's error. */
static int collect(struct loaded *l, json_t *out, struct error *err)
{
    const char *path = source_path(l->source);
    bool has_weights = source_tensor_count(l->source) > 0;
    json_object_set_new(out, "model", json_string_new(path, strlen(path)));
    json_object_set_new(out, "files", files_json(l));
    json_object_set_new(out, "formats", tensors_json(l->source));
    json_t *own = loss_read_new(l->source); /* what wazn quantize left in it */
    if (own)
        json_object_set_new(out, "quantization", own);
    add_text(out, l);
    int rc = add_sampling(out, l, err);
    json_object_set_new(out, "licence", licence_json(l->source));
    if (rc == 0 && has_weights)
        rc = loaded_model(l, err);
    if (rc == 0 && has_weights) {
        add_model(out, l->model);
        if (l->n_adapters > 0)
            json_object_set_new(out, "adapters", adapters_json(l));
        rc = add_plan(out, l, err);
    }
    if (rc == 0 && l->args->at[OPT_sha256].set)
        rc = add_digests(out, l, err);
    return rc;
}

static int run(const struct arguments *args, struct error *err)
{
    struct loaded l;
    interrupt_catch();
    int rc = loaded_source(&l, args, err);
    if (rc == 0) {
        json_t *out = json_object();
        rc = collect(&l, out, err);
        if (args->at[OPT_json].set) {
            int printed = json_print(out, rc == 0 ? err : NULL);
            rc = rc ? rc : printed;
        } else {
            print_text(out);
            json_decref(out);
        }
    }
    loaded_close(&l);
    return rc;
}

static const enum option_id takes[] = { OPT_model, OPT_adapter, OPT_ctx, OPT_kv, OPT_sha256, OPT_chat_format,
    OPT_tokenizer, OPT_threads, OPT_cpu, OPT_json, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn inspect -m MODEL", "what it is, its licence and what it takes",
    "wazn inspect -m MODEL --ctx 32768 --kv q8_0", "the memory plan of a long context",
    "wazn inspect -m MODEL --json --sha256", "for scripts, with checksums of the weights", NULL };

const struct command command_inspect = {
    .name = "inspect",
    .summary = "show what a model is, its licence and its memory plan",
    .usage = "-m MODEL [--ctx N] [--json]",
    .about = "Restrictions of the licence are marked with an exclamation mark; the licence is recognised by its words "
             "and this is no legal advice. Weights are not read (but for --sha256).",
    .takes = takes,
    .examples = examples,
    .run = run,
};
