/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include "infer/matcher.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WALKS 2
#define WALK_MAX 600
#define TEXT_MAX 4000

/* A byte that may come, chosen at random; behind WALK_MAX bytes rather one that closes what is open. */
static int choose(struct matcher *m, struct random *r, size_t length)
{
    static const char closing[] = "\"}]0,e\\";
    for (const char *c = closing; length > WALK_MAX && *c; c++)
        if (random_below(r, 8) && matcher_allows(m, c, 1))
            return (unsigned char)*c;
    int allowed[256], n = 0;
    for (int byte = 0; byte < 256; byte++)
        if (matcher_allows(m, &(char) { (char)byte }, 1))
            allowed[n++] = byte;
    return n > 0 ? allowed[random_below(r, (uint32_t)n)] : -1;
}

static void walk(struct matcher *m, struct random *r)
{
    char text[TEXT_MAX];
    size_t n = 0;
    matcher_reset(m);
    while (n < TEXT_MAX && !(matcher_complete(m) && random_below(r, 4) == 0)) {
        int byte = choose(m, r, n);
        assert(byte >= 0 || matcher_complete(m)); /* never a dead end */
        if (byte < 0)
            break;
        text[n++] = (char)byte;
        assert(matcher_advance(m, text + n - 1, 1));
    }
    if (!matcher_complete(m))
        return;
    json_t *value = json_loadb(text, n, JSON_DECODE_ANY, NULL);
    assert(value);
    json_decref(value);
}

/* Any JSON as a schema: refused with words, or a grammar whose texts are JSON. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct grammar *g;
    struct matcher *m;
    struct random r;
    json_t *schema = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
    if (!schema)
        return 0;
    int rc = grammar_open(&g, schema, &err);
    assert((rc == 0) == (err.code == 0) && (rc == 0) == (g != NULL));
    if (rc == 0) {
        random_seed(&r, size);
        assert(matcher_open(&m, g, &err) == 0);
        for (int i = 0; i < WALKS; i++)
            walk(m, &r);
        matcher_close(m);
    }
    grammar_close(g);
    json_decref(schema);
    return 0;
}
