/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/buffer.h"
#include "base/filemap.h"
#include "file/digest.h"
#include "file/licence.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Each licence is found by its own marks, spread over lines in capitals, and by each of its ids. */
static void every_licence_is_recognised(void **state)
{
    (void)state;
    for (size_t i = 0; licences[i]; i++) {
        const struct licence *l = licences[i];
        struct buffer text = { 0 };
        buffer_add_text(&text, "\n\t**");
        for (size_t k = 0; k < LICENCE_MARKS_MAX && l->marks[k]; k++) {
            for (const char *c = l->marks[k]; *c; c++) {
                if (*c == ' ')
                    buffer_add_text(&text, "\r\n  ");
                else
                    buffer_add_byte(&text, (char)toupper((unsigned char)*c));
            }
            buffer_add_text(&text, " and so on\n");
        }
        const struct licence *found = licence_recognise(text.data, text.used);
        if (!found || strcmp(found->name, l->name) != 0)
            fail_msg("%s is taken for %s", l->name, found ? found->name : "nothing");
        buffer_release(&text);
        assert_non_null(l->aliases[0]);
        for (size_t k = 0; k < LICENCE_ALIASES_MAX && l->aliases[k]; k++)
            assert_ptr_equal(licence_find(l->aliases[k]), l);
    }
    assert_null(licence_recognise("all rights reserved", 19));
    assert_null(licence_recognise("", 0));
    assert_null(licence_find("other"));
    assert_ptr_equal(licence_find("Apache-2.0"), licence_find("apache-2.0"));
}

static bool restricts(const struct licence *l, const char *words)
{
    for (size_t i = 0; i < LICENCE_RESTRICTIONS_MAX && l->restrictions[i]; i++) {
        if (strstr(l->restrictions[i], words))
            return true;
    }
    return false;
}

static void restrictions_are_flagged(void **state)
{
    (void)state;
    static const struct {
        const char *id, *words;
    } flagged[] = {
        { "llama2", "700 million" },
        { "llama3", "700 million" },
        { "llama3.1", "700 million" },
        { "llama3.2", "700 million" },
        { "llama3.3", "700 million" },
        { "llama4", "700 million" },
        { "gemma", "prohibited use" },
        { "cc-by-nc-4.0", "no commercial" },
        { "cc-by-nc-sa-4.0", "no commercial" },
        { "openrail", "use-based" },
        { "mrl", "research" },
        { "mrl", "no commercial" },
    };
    for (size_t i = 0; i < sizeof flagged / sizeof *flagged; i++)
        assert_true(restricts(licence_find(flagged[i].id), flagged[i].words));
    assert_null(licence_find("mit")->restrictions[0]);
    assert_null(licence_find("apache-2.0")->restrictions[0]);
}

static void real_texts_are_recognised(void **state)
{
    (void)state;
    static const struct { const char *path, *id; } texts[] = { { "tokenizers/llama2/LICENSE", "llama2" },
        { "tokenizers/llama3/LICENSE", "llama3" } };
    char *text;
    size_t size;
    assert_int_equal(file_read_new(&text, &size, test_repo("LICENSE"), 1 << 20, NULL), 0);
    assert_ptr_equal(licence_recognise(text, size), licence_find("apache-2.0"));
    free(text);
    for (size_t i = 0; i < 2; i++) {
        const char *path = test_data(texts[i].path);
        if (!path)
            skip();
        assert_int_equal(file_read_new(&text, &size, path, 1 << 20, NULL), 0);
        assert_ptr_equal(licence_recognise(text, size), licence_find(texts[i].id));
        free(text);
    }
}

static void model_cards_are_read(void **state)
{
    (void)state;
    static const struct { const char *card, *said; } cards[] = {
        { "---\nlanguage: en\nlicense: mit\n---\nx", "mit" },
        { "---\r\nlicense: \"cc-by-nc-4.0\" # sorry\r\n---\r\n", "cc-by-nc-4.0" },
        { "---\nlicense: other\nlicense_name: llama3.2\n---\n", "llama3.2" },
        { "---\nlicense: other\n---\n", "other" },
        { "---\nlicense: mit\n", NULL },              /* the head has no end */
        { "# Model\nlicense: mit\n---\n", NULL },     /* no head */
        { "---\nx: 1\n---\nlicense: mit\n", NULL },   /* behind the head */
        { "---\n license: mit\n---\n", NULL },        /* belongs to another key */
        { "---\nlicense:\n---\n", NULL },
        { "", NULL },
    };
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        const char *folder = test_folder();
        struct licence_finding found[LICENCE_FINDINGS_MAX];
        struct source *s;
        static const char empty[] = "\x02\0\0\0\0\0\0\0{}";
        test_write(test_join(folder, "model.safetensors"), empty, sizeof empty - 1);
        test_write(test_join(folder, "config.json"), "{}", 2);
        test_write(test_join(folder, "README.md"), cards[i].card, strlen(cards[i].card));
        assert_int_equal(source_open(&s, folder, NULL, NULL, NULL), 0);
        assert_int_equal(licence_search(found, s), cards[i].said ? 1 : 0);
        if (cards[i].said) {
            assert_string_equal(found[0].said, cards[i].said);
            assert_string_equal(found[0].where, "README.md");
        }
        source_close(s);
    }
}

static bool stop_at_once(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    assert_true(done <= total);
    return false;
}

static void digests_are_sha256(void **state)
{
    (void)state;
    char text[DIGEST_TEXT_SIZE];
    const char *folder = test_folder();
    test_write(test_join(folder, "abc"), "abc", 3);
    test_write(test_join(folder, "none"), "", 0);
    assert_int_equal(digest_file(text, test_join(folder, "abc"), NULL, NULL, NULL), 0);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(digest_file(text, test_join(folder, "none"), NULL, NULL, NULL), 0);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(digest_file(text, test_join(folder, "gone"), NULL, NULL, NULL), ERROR_NOT_FOUND);
    assert_int_equal(digest_file(text, test_join(folder, "abc"), stop_at_once, NULL, NULL), ERROR_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_licence_is_recognised),
        cmocka_unit_test(restrictions_are_flagged),
        cmocka_unit_test(real_texts_are_recognised),
        cmocka_unit_test(model_cards_are_read),
        cmocka_unit_test(digests_are_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
