/* SPDX-License-Identifier: Apache-2.0 */
/* What the kinds of tokenizers share, private to src/text. A tokenizer is data: a table of pieces, added tokens, a
 * list of normalisation steps, a pre-tokenizer, a model that turns a piece of text into ids, what goes around it, and
 * how ids become bytes again. Loaders fill it, tokenizer.c runs it:
 *
 * text -> cut at added tokens that match raw text -> normalise each rest -> cut at added tokens that match normalised
 * text -> pre-tokenise each rest -> model->encode_piece for each piece
 *
 * A loader that fails leaves the tokenizer half filled; tokenizer_close releases it. */
#ifndef WAZN_TEXT_TOKENIZER_IMPL_H
#define WAZN_TEXT_TOKENIZER_IMPL_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "base/map.h"
#include "text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- vocab.c: id to piece and back ---- */

#define PIECE_BYTES_MAX 4096   /* of one token; bounds the work of a look-up */
#define VOCAB_SIZE_MAX (1 << 24)

/* Pieces are stored as the model sees them: true bytes for byte-level BPE (the printable stand-ins are undone by the
 * loader), text with U+2581 for spaces for SentencePiece. Ids never put are holes: empty, TOKEN_UNUSED. */
struct vocab {
    struct buffer bytes;  /* all pieces, in the order they were put */
    uint32_t *start;      /* (capacity) where in bytes a piece begins */
    uint16_t *length;     /* (capacity) */
    uint8_t *kind;        /* (capacity) enum token_kind */
    float *score;         /* (capacity) SentencePiece's; NULL where no piece has one */
    int32_t size, capacity;
    size_t longest;       /* bytes of the longest indexed piece */
    int32_t plain;        /* pieces of ids below are all in the look-up, each once */
    uint64_t *slots;      /* hash << 32 | id + 1; 0: free */
    size_t mask;          /* slots - 1 */
    uint64_t *filter; /* (mask + 1) / 16: a bit for each hash that occurs; most questions end here, in little memory */
    unsigned filter_shift;
    int32_t byte_id[256]; /* the token of a byte: "<0x0A>" (kind TOKEN_BYTE), or the one-byte piece; -1: none */
};

/* Make room for ids below `size`. ERROR_LIMIT above VOCAB_SIZE_MAX. */
int vocab_reserve(struct vocab *v, int64_t size, struct error *err);
/* Set the piece of an id (grows; ids may come in any order; an id put twice takes the later piece). ERROR_FORMAT for a
 * negative id or a piece above PIECE_BYTES_MAX. */
int vocab_put(struct vocab *v, int64_t id, const char *piece, size_t n, enum token_kind kind, struct error *err);
int vocab_put_score(struct vocab *v, int32_t id, float score, struct error *err);
/* Build the look-up by piece, once the model's pieces are put and before added tokens are: kinds TOKEN_NORMAL,
 * TOKEN_USER and TOKEN_UNUSED, the lowest id where a piece occurs twice. Sets longest and byte_id. */
int vocab_index(struct vocab *v, struct error *err);
int32_t vocab_find(const struct vocab *v, const char *piece, size_t n); /* -1: none, or before vocab_index */
/* Is id >= 0 what vocab_find would answer? Cheap, but may say no where it is. */
bool vocab_finds(const struct vocab *v, const char *piece, size_t n, int32_t id);
/* False: vocab_find would answer -1. True: it mostly would not. For n > 0; touches little memory. */
bool vocab_may_hold(const struct vocab *v, const char *piece, size_t n);
/* vocab_find in two steps, for many pieces at a time: hash (map_hash) and prefetch all, then find each. */
void vocab_prefetch(const struct vocab *v, uint32_t hash);
int32_t vocab_find_hashed(const struct vocab *v, const char *piece, size_t n, uint32_t hash);
/* By spelling among all kinds, by looking at each: for a few questions, not for text. -1: none. */
int32_t vocab_search(const struct vocab *v, const char *piece, size_t n);
const char *vocab_piece(const struct vocab *v, int32_t id, size_t *n);
int vocab_byte_value(const char *piece, size_t n); /* of "<0x0A>"; -1: not of this form */
void vocab_release(struct vocab *v);

/* ---- added.c: tokens that cut the text before anything else looks at it ---- */

struct added_token {
    int32_t id;
    bool special;     /* only matched with TOKENIZE_SPECIAL, left out of decoded text */
    bool normalized;  /* matched in normalised text (its spelling normalised too), else in raw text */
    bool lstrip, rstrip;  /* swallow the white space before, behind */
    bool single_word; /* only where no word character touches it */
    char *text;       /* owned */
    size_t n;
};

struct added_trie; /* spellings of one list, for leftmost-longest matching */

struct added {
    struct added_token *tokens;
    size_t count, capacity;
    struct map by_text; /* to index in tokens */
    struct added_trie *raw, *normalized; /* NULL: none such */
};

/* Copies the text. A text that is there already takes the new id and rules. */
int added_put(struct added *a, const struct added_token *token, struct error *err);
const struct added_token *added_find(const struct added *a, const char *text, size_t n); /* by spelling; NULL: none */

struct tokenizer;
/* Build both tries (normalising spellings with t's steps) and put every added token in t->vocab: special as
 * TOKEN_CONTROL (TOKEN_UNKNOWN stays), others as TOKEN_USER. tokenizer_finish calls it, after vocab_index. */
int added_finish(struct tokenizer *t, struct error *err);

/* The next match at or after *from. Returns the token, with [*start, *stop) of the text it takes (strip rules applied,
 * never before `floor`, the end of the last match), and moves *from behind the spelling; NULL: no more. */
const struct added_token *added_next(const struct added *a, const struct added_trie *trie, const char *text, size_t n,
    bool special, size_t floor, size_t *from, size_t *start, size_t *stop);
void added_release(struct added *a);

/* ---- normalize.c and others: text to text, one step after another ---- */

/* Where a section of text between added tokens lies: decides whether a dummy prefix goes in front. */
enum place {
    PLACE_FIRST,     /* the text begins here */
    PLACE_BEHIND,    /* behind an added token */
    PLACE_CONTINUED, /* the first section, with TOKENIZE_CONTINUE: other text came before */
};

struct normalizer {
    /* Append the normalised form of text (n > 0) to out. */
    int (*run)(const struct normalizer *step, const char *text, size_t n, enum place place, struct buffer *out,
        struct error *err);
    void (*close)(struct normalizer *step); /* may be NULL */
    void *state;                            /* the step's own */
};

#define NORMALIZERS_MAX 16

int normalizer_add(
    struct tokenizer *t, struct normalizer step, struct error *err); /* takes over state, also on error */
/* One entry of tokenizer.json: {"type": "NFC"} and so on; "Sequence" adds its members. null adds nothing. */
int normalizer_add_json(struct tokenizer *t, const json_t *spec, struct error *err);

/* ---- pretoken.c: text to the pieces that merging never crosses ---- */

struct pretoken; /* NULL: the whole text is one piece */

/* By name of a known pattern ("gpt2", "cl100k", "llama3", "qwen2", "o200k", "tekken" ...). */
int pretoken_new_named(struct pretoken **out, const char *name, struct error *err);
/* From a pattern as tiktoken and tekken.json give it: every match is a piece, and so is what lies between. */
int pretoken_new_pattern(struct pretoken **out, const char *pattern, size_t n, struct error *err);
/* tokenizer.json's pre_tokenizer member (null gives NULL). */
int pretoken_new_json(struct pretoken **out, const json_t *spec, struct error *err);
const char *pretoken_name(const struct pretoken *p); /* of the pattern where it is a known one, else what it does */
void pretoken_close(struct pretoken *p);

struct scratch;
typedef int piece_fn(void *context, const char *piece, size_t n, struct error *err); /* n > 0 */
/* Hand the pieces of text to `each`, in order. Malformed UTF-8 is kept apart: each run of it is a piece. */
int pretoken_run(const struct pretoken *p, struct scratch *s, const char *text, size_t n, enum place place,
    piece_fn *each, void *context, struct error *err);
/* The first place at or after `from` > 0 where text may be cut in two that give the pieces of the whole, the second
 * with PLACE_BEHIND; n: none, as for every pre-tokenizer that has a pattern of its own. */
size_t pretoken_cut(const struct pretoken *p, const char *text, size_t n, size_t from);
void scratch_release(struct scratch *s);

/* ---- the model: a piece of text to ids ---- */

/* Working memory of one call of tokenizer_encode: kept from piece to piece, released at its end. */
struct scratch {
    struct buffer text[2];     /* normalised text */
    struct buffer pieces[2];   /* pretoken.c: lists of cuts, and the text of pieces that got a prefix */
    struct buffer prefixed[2];
    struct regex_match *match;
    struct buffer memory[4];   /* the model's own: contents undefined when encode_piece begins */
};

struct tokenizer_model {
    const char *name; /* "byte-level BPE", "SentencePiece unigram" */
    /* Append the ids of one piece (never empty). Called for each piece of the pre-tokenizer; t->state is the model's.
     */
    int (*encode_piece)(const struct tokenizer *t, struct scratch *s, const char *piece, size_t n, struct tokens *out,
        struct error *err);
    void (*close)(struct tokenizer *t); /* releases t->state */
};

/* ---- decoding ---- */

struct decode_rules {
    bool spaces;         /* U+2581 in pieces becomes a space */
    bool drop_first;     /* one space at the front of the first piece is dropped (the dummy prefix comes off) */
    bool drop_every;     /* and one of each following piece, until one leaves something (white space collapses) */
    const char *unknown; /* what TOKEN_UNKNOWN decodes to (SentencePiece: " \xe2\x81\x87 "); NULL: its piece */
};

struct tokenizer {
    struct vocab vocab;
    struct added added;
    struct normalizer normalizers[NORMALIZERS_MAX];
    int normalizer_count;
    struct pretoken *pretoken;
    const struct tokenizer_model *model;
    void *state;
    struct decode_rules decode;
    int32_t role[TOKEN_ROLE_COUNT]; /* -1: none */
    struct tokens front, back;      /* what TOKENIZE_DEFAULT puts around the text */
    char describe[128];
};

/* An empty tokenizer with all roles -1. */
int tokenizer_new(struct tokenizer **out, struct error *err);

/* After every loader: the index where the loader left it, added tokens, checks of roles. */
int tokenizer_finish(struct tokenizer *t, struct error *err);

/* ---- models and loaders: each fills t from foreign bytes, tokenizer.c calls tokenizer_finish ---- */

/* load_spm.c: a SentencePiece model (tokenizer.model). */
int load_sentencepiece(struct tokenizer *t, const void *data, size_t n, struct error *err);
/* The same vocabularies inside other files: "model" of a tokenizer.json of type Unigram; GGUF "llama" and "t5". */
int load_json_unigram(struct tokenizer *t, const json_t *model, struct error *err);
int load_gguf_sentencepiece(struct tokenizer *t, const struct gguf *g, struct error *err);

#endif
