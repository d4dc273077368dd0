/* SPDX-License-Identifier: Apache-2.0 */
/* A SentencePiece model, then (behind a 0xFF 0x00 pair, where there is one) a text to encode with it and decode again.
 */
#include "text/tokenizer_impl.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags)
{
    struct tokens ids = {0};
    struct buffer back = {0};
    struct error err = {0};
    int rc = tokenizer_encode(t, text, n, flags, &ids, &err);
    assert(rc == 0 || err.code == rc);
    for (size_t i = 0; i < ids.used; i++)
        assert(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_size(t));
    if (rc == 0)
        assert(tokenizer_decode(t, ids.ids, ids.used, true, &back, &err) == 0);
    tokens_release(&ids);
    buffer_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char fixed[] = "  Hello w\xc3\xb6rld\n \xe2\x96\x81x\xff\xe2\x96 \xef\xb7\xba abab";
    const char *text = fixed;
    size_t n = sizeof fixed - 1, model = size;
    struct tokenizer *t;
    struct error err = {0};
    for (size_t i = 0; i + 1 < size; i++)
        if (data[i] == 0xff && data[i + 1] == 0) {
            model = i;
            text = (const char *)data + i + 2;
            n = size - i - 2;
            break;
        }
    if (tokenizer_new(&t, &err) != 0)
        return 0;
    int rc = load_sentencepiece(t, data, model, &err);
    if (rc == 0)
        rc = tokenizer_finish(t, &err);
    assert(rc == 0 || (err.code == rc && err.text[0]));
    if (rc == 0) {
        encode(t, text, n, 0);
        encode(t, text, n, TOKENIZE_CONTINUE | TOKENIZE_SPECIAL | TOKENIZE_DEFAULT);
        encode(t, fixed, sizeof fixed - 1, TOKENIZE_BEHIND);
    }
    tokenizer_close(t);
    return 0;
}
