/* SPDX-License-Identifier: Apache-2.0 */
#include "file/licence.h"

#include "base/filemap.h"
#include "file/gguf.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_BYTES_MAX (1u << 20)

#define USERS_700_MILLION "needs a licence of its own above 700 million monthly active users"
#define USERS_100_MILLION "needs a licence of its own above 100 million monthly active users"
#define USE_POLICY "an acceptable use policy applies"
#define NON_COMMERCIAL "no commercial use"
#define USE_BASED "use-based restrictions apply, also to derived models"
#define SHARE_ALIKE "changed versions must carry the same licence"
#define BUILT_WITH(model) "products must show \"Built with " model "\", derived models are named after it"
#define NO_OTHER_MODELS "outputs may not improve other language models"

/* Llama's licences differ in little but their name. */
#define LLAMA(id, version, last) \
    static const struct licence llama##id = { "Llama " version " Community License", \
        { "llama" version, "llama-" version, "llama-" version "-community" }, \
        { "llama " version " community license agreement" }, { USERS_700_MILLION, USE_POLICY, last } }

static const struct licence llama2 = { "Llama 2 Community License", { "llama2", "llama-2", "llama-2-community" },
    { "llama 2 community license agreement" }, { USERS_700_MILLION, USE_POLICY, NO_OTHER_MODELS } };
static const struct licence llama3 = { "Llama 3 Community License", { "llama3", "llama-3", "llama-3-community" },
    { "llama 3 community license agreement" },
    { USERS_700_MILLION, USE_POLICY, BUILT_WITH("Meta Llama 3"), NO_OTHER_MODELS } };
LLAMA(3_1, "3.1", BUILT_WITH("Llama"));
LLAMA(3_2, "3.2", BUILT_WITH("Llama"));
LLAMA(3_3, "3.3", BUILT_WITH("Llama"));
LLAMA(4, "4", BUILT_WITH("Llama"));
static const struct licence gemma = { "Gemma Terms of Use", { "gemma", "gemma-terms-of-use" }, { "gemma terms of use" },
    { "a prohibited use policy applies, also to derived models" } };
static const struct licence mistral_research = { "Mistral AI Research License",
    { "mrl", "mistral-ai-research-licence", "mistral-ai-research-license", "mrl-0.1" },
    { "mistral ai research license" }, { "research and personal use only", NON_COMMERCIAL } };
static const struct licence mistral_tests = { "Mistral AI Non-Production License",
    { "mnpl", "mistral-ai-non-production-license", "mnpl-0.1" }, { "mistral ai non-production license" },
    { "tests, research and personal use only", NON_COMMERCIAL } };
static const struct licence qwen_research = { "Qwen Research License", { "qwen-research" },
    { "qwen research license agreement" }, { NON_COMMERCIAL } };
static const struct licence qwen = { "Qwen License", { "qwen", "tongyi-qianwen" }, { "qwen license agreement" },
    { USERS_100_MILLION } };
static const struct licence tongyi = { "Tongyi Qianwen License", { "tongyi-qianwen-research" },
    { "tongyi qianwen", "license agreement" }, { USERS_100_MILLION } };
static const struct licence by_nc_sa = { "CC BY-NC-SA 4.0", { "cc-by-nc-sa-4.0", "cc-by-nc-sa-3.0" },
    { "attribution-noncommercial-sharealike" }, { NON_COMMERCIAL, SHARE_ALIKE } };
static const struct licence by_nc_nd = { "CC BY-NC-ND 4.0", { "cc-by-nc-nd-4.0", "cc-by-nc-nd-3.0" },
    { "attribution-noncommercial-noderivatives" }, { NON_COMMERCIAL, "changed versions may not be passed on" } };
static const struct licence by_nc = { "CC BY-NC 4.0", { "cc-by-nc-4.0", "cc-by-nc-3.0", "cc-by-nc-2.0" },
    { "attribution-noncommercial" }, { NON_COMMERCIAL } };
static const struct licence by_sa = { "CC BY-SA 4.0", { "cc-by-sa-4.0", "cc-by-sa-3.0" }, { "attribution-sharealike" },
    { SHARE_ALIKE } };
static const struct licence by = { "CC BY 4.0", { "cc-by-4.0", "cc-by-3.0" },
    { "creative commons", "attribution 4.0 international" }, { NULL } };
static const struct licence open_rail = { "OpenRAIL",
    { "openrail", "bigscience-openrail-m", "bigcode-openrail-m", "creativeml-openrail-m", "openrail++" },
    { "open rail", "use-based" }, { USE_BASED } };
static const struct licence openrail = { "OpenRAIL", { "openrail-m" }, { "openrail", "use-based" }, { USE_BASED } };
static const struct licence rail = { "BigScience RAIL License", { "bigscience-bloom-rail-1.0" },
    { "rail license", "use-based" }, { USE_BASED } };
static const struct licence apache = { "Apache License 2.0", { "apache-2.0" },
    { "apache license", "version 2.0, january 2004" }, { NULL } };
static const struct licence modified_mit = { "MIT License, modified", { "modified-mit" }, { "modified mit license" },
    { "conditions were added to the MIT text: read them" } };
static const struct licence mit = { "MIT License", { "mit" },
    { "permission is hereby granted, free of charge, to any person obtaining a copy", "without restriction" },
    { NULL } };

const struct licence *const licences[] = { &llama2, &llama3, &llama3_1, &llama3_2, &llama3_3, &llama4, &gemma,
    &mistral_research, &mistral_tests, &qwen_research, &qwen, &tongyi, &by_nc_sa, &by_nc_nd, &by_nc, &by_sa,
    &by, &open_rail, &openrail, &rail, &modified_mit, &mit, &apache, NULL };

/* Lower case, runs of white space as one blank, quotes and asterisks left out; NULL without memory. */
static char *new_plain_text(const char *text, size_t n)
{
    char *plain = malloc(n + 1);
    size_t used = 0;
    if (!plain)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\'' || c == '*' || c == '#' || c >= 0x80)
            continue;
        if (c <= ' ') {
            if (used > 0 && plain[used - 1] != ' ')
                plain[used++] = ' ';
            continue;
        }
        plain[used++] = (char)tolower(c);
    }
    plain[used] = '\0';
    return plain;
}

static bool has_marks(const struct licence *l, const char *plain)
{
    for (size_t i = 0; i < LICENCE_MARKS_MAX && l->marks[i]; i++) {
        if (!strstr(plain, l->marks[i]))
            return false;
    }
    return true;
}

const struct licence *licence_recognise(const char *text, size_t n)
{
    char *plain = new_plain_text(text, n);
    const struct licence *found = NULL;
    for (size_t i = 0; plain && !found && licences[i]; i++) {
        if (has_marks(licences[i], plain))
            found = licences[i];
    }
    free(plain);
    return found;
}

const struct licence *licence_find(const char *id)
{
    for (size_t i = 0; licences[i]; i++) {
        for (size_t k = 0; k < LICENCE_ALIASES_MAX && licences[i]->aliases[k]; k++) {
            if (strcasecmp(licences[i]->aliases[k], id) == 0)
                return licences[i];
        }
    }
    return NULL;
}

static void add_finding(struct licence_finding *findings, size_t *n, const char *where, const char *said,
    const struct licence *licence)
{
    if (*n == LICENCE_FINDINGS_MAX)
        return;
    struct licence_finding *f = &findings[(*n)++];
    snprintf(f->where, sizeof f->where, "%.255s", where);
    snprintf(f->said, sizeof f->said, "%s", said);
    f->licence = licence;
}

static bool is_licence_name(const char *name)
{
    return strncasecmp(name, "license", 7) == 0 || strncasecmp(name, "licence", 7) == 0
        || strncasecmp(name, "copying", 7) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void search_files(struct licence_finding *findings, size_t *n, const char *folder)
{
    char names[LICENCE_FINDINGS_MAX][256], path[4096];
    size_t n_names = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (struct dirent *e; n_names < LICENCE_FINDINGS_MAX && (e = readdir(dir));) {
        if (is_licence_name(e->d_name))
            snprintf(names[n_names++], sizeof names[0], "%.255s", e->d_name);
    }
    closedir(dir);
    qsort(names, n_names, sizeof names[0], by_name);
    for (size_t i = 0; i < n_names; i++) {
        char *text;
        size_t size;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (file_read_new(&text, &size, path, TEXT_BYTES_MAX, NULL) != 0)
            continue;
        add_finding(findings, n, names[i], "", licence_recognise(text, size));
        free(text);
    }
}

/* The value of a top-level key in the YAML head of a model card: "key: value", quotes taken off. False: not there. */
static bool card_value(const char *card, const char *key, char *value, size_t size)
{
    size_t key_length = strlen(key);
    if (strncmp(card, "---", 3) != 0)
        return false;
    const char *end = strstr(card + 3, "\n---");
    for (const char *line = strchr(card, '\n'); line && end && line < end; line = strchr(line + 1, '\n')) {
        const char *at = line + 1;
        if (strncmp(at, key, key_length) != 0 || at[key_length] != ':')
            continue;
        at += key_length + 1;
        at += strspn(at, " \t\"'");
        snprintf(value, size, "%.*s", (int)strcspn(at, "\"'\r\n#"), at);
        for (size_t n = strlen(value); n > 0 && value[n - 1] == ' '; n--)
            value[n - 1] = '\0';
        return value[0] != '\0';
    }
    return false;
}

static void search_card(struct licence_finding *findings, size_t *n, const char *folder)
{
    char path[4096], id[128], name[128], *card;
    size_t size;
    snprintf(path, sizeof path, "%s/README.md", folder);
    if (file_read_new(&card, &size, path, TEXT_BYTES_MAX, NULL) != 0)
        return;
    if (card_value(card, "license", id, sizeof id)) {
        bool named = strcasecmp(id, "other") == 0 && card_value(card, "license_name", name, sizeof name);
        add_finding(findings, n, "README.md", named ? name : id, licence_find(named ? name : id));
    }
    free(card);
}

static void search_gguf(struct licence_finding *findings, size_t *n, const struct gguf *g)
{
    static const char *const keys[] = { "general.license", "general.license.name" };
    for (size_t i = 0; i < 2; i++) {
        char id[128];
        size_t length;
        const char *text = gguf_text(g, keys[i], &length);
        if (!text || length == 0 || length >= sizeof id)
            continue;
        memcpy(id, text, length);
        id[length] = '\0';
        if (strcasecmp(id, "other") != 0)
            add_finding(findings, n, keys[i], id, licence_find(id));
    }
}

size_t licence_search(struct licence_finding findings[LICENCE_FINDINGS_MAX], const struct source *s)
{
    size_t n = 0;
    const char *folder = source_folder(s);
    if (source_gguf(s))
        search_gguf(findings, &n, source_gguf(s));
    if (folder) {
        search_files(findings, &n, folder);
        search_card(findings, &n, folder);
    }
    return n;
}
