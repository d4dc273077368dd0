/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/guide.h"

#include <stdlib.h>
#include <string.h>

#define CHARACTER_REST 3 /* tokens that the rest of a character may take */

struct guide {
    struct guide_options options;
    const struct chat_parser *parser;
    struct tokens forced; /* ids that must come, forced.ids[at] the next of them */
    size_t at;
    bool constrained; /* the token that comes belongs to an answer that must follow the schema */
    bool cut;
    size_t words;
    uint64_t mask[]; /* (words) */
};

int guide_open(struct guide **out, const struct guide_options *options, struct error *err)
{
    size_t words = ((size_t)options->vocabulary + 63) / 64;
    struct guide *g = calloc(1, sizeof *g + words * sizeof *g->mask);
    *out = g;
    if (!g)
        return error_memory(err, sizeof *g + words * sizeof *g->mask, "a mask of tokens");
    g->options = *options;
    g->words = words;
    return 0;
}

void guide_close(struct guide *g)
{
    if (!g)
        return;
    tokens_release(&g->forced);
    free(g);
}

void guide_begin(struct guide *g, const struct chat_parser *p)
{
    g->parser = p;
    tokens_clear(&g->forced);
    g->at = 0;
    g->constrained = g->cut = false;
    if (g->options.answer)
        matcher_reset(constraint_matcher(g->options.answer));
}

static bool is_forced(const struct guide *g)
{
    return g->at < g->forced.used;
}

/* Thoughts whose budget is spent are ended as the model would end them. A character that was begun may be ended
 * first. */
static int spend(struct guide *g, struct error *err)
{
    const struct chat_parser *p = g->parser;
    size_t budget = g->options.budget < 0 ? SIZE_MAX : (size_t)g->options.budget;
    if (!p || is_forced(g) || p->counts.tokens[CHAT_REASONING] < budget)
        return 0;
    if (chat_parser_in_character(p) && p->counts.tokens[CHAT_REASONING] - budget < CHARACTER_REST)
        return 0;
    tokens_clear(&g->forced);
    g->at = 0;
    int rc = chat_parser_to_answer(p, &g->forced, err);
    g->cut = g->cut || g->forced.used > 0;
    for (size_t i = 0; rc == 0 && i < g->forced.used; i++)
        if (g->forced.ids[i] < 0 || g->forced.ids[i] >= g->options.vocabulary)
            rc = error_set(err, ERROR_USAGE, "the thoughts cannot be ended: token %d is not in the vocabulary of %lld",
                g->forced.ids[i], (long long)g->options.vocabulary);
    return rc;
}

int guide_allow(void *guide, const uint64_t **mask, struct error *err)
{
    struct guide *g = guide;
    int rc = spend(g, err);
    if (rc)
        return rc;
    if (is_forced(g)) {
        int32_t id = g->forced.ids[g->at];
        memset(g->mask, 0, g->words * sizeof *g->mask);
        g->mask[id >> 6] |= (uint64_t)1 << (id & 63);
        g->constrained = false;
        *mask = g->mask;
        return 0;
    }
    const uint64_t *headers = g->parser && g->options.headers ? chat_grammar_next(g->options.headers, g->parser) : NULL;
    g->constrained = g->options.answer && (!g->parser || chat_parser_answers(g->parser));
    *mask = headers;
    if (!g->constrained)
        return 0;
    *mask = constraint_mask(g->options.answer);
    if (headers) {
        for (size_t i = 0; i < g->words; i++)
            g->mask[i] = headers[i] & (*mask)[i];
        *mask = g->mask;
    }
    return 0;
}

int guide_accept(struct guide *g, int32_t id, struct error *err)
{
    if (is_forced(g) && g->forced.ids[g->at] == id) {
        g->at++;
        return 0;
    }
    return g->constrained ? constraint_accept(g->options.answer, id, err) : 0;
}

bool guide_cut_thoughts(const struct guide *g)
{
    return g->cut;
}

bool guide_complete(const struct guide *g)
{
    return !g->options.answer || matcher_complete(constraint_matcher(g->options.answer));
}
