# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/sentencepiece.json: tiny models, and what the sentencepiece package makes of texts.

python tools/golden/sentencepiece_small.py tests/golden/data/sentencepiece.json
"""

import io
import json
import os
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

SPACE = "\u2581"
SPECIAL = [["<unk>", 0, 2], ["<s>", 0, 3], ["</s>", 0, 3]]
BYTES = [["<0x%02X>" % i, 0, 6] for i in range(256)]
WORDS = [
    [SPACE, -9, 1],
    [SPACE * 2, -3, 1],
    ["a", -5, 1],
    ["b", -6, 1],
    ["c", -7, 1],
    ["d", -7.5, 1],
    ["ab", -2, 1],
    ["bc", -2, 1],
    ["abc", -4, 1],
    [SPACE + "a", -2.5, 1],
    ["abab", -3, 5],
    ["<x>", 0, 4],
    ["\u00e9", -6.5, 1],
    ["\u65e5", -6, 1],
    ["\u65e5\u672c", -5.5, 1],
    ["o", -7, 1],
    ["ol", -3.5, 1],
    ["l", -8, 1],
    ["lo", -3.5, 1],
    ["e\u0301", -6.75, 1],
]
JOINED = [["a" + SPACE + "b", -0.5, 1], ["b" + SPACE, -1, 1]]
TEXTS = [
    "",
    " ",
    "   ",
    "a",
    "ab",
    "abc",
    "abcabc",
    " ab  ab ",
    "aba",
    "abab",
    "ababab",
    "<x>ab<x",
    "\u00e9\u65e5\u672c\u8a9e",
    "lolol",
    "a\tb",
    "x",
    "xyx",
    "xx yy",
    SPACE + "a" + SPACE * 2,
    "<s>ab</s>",
    "<unk>",
    "<0x41>",
    "\U0001f44d\U0001f3fd",
    "dddd",
    "  a",
    "a b a b",
    "ABA",
    "\ufdfa",
    "A  \u00c9 <x> A",
    "\u00e9\u00e9",
    "b\na",
]
MODELS = {
    "bpe": dict(type=2),
    "bpe bytes": dict(type=2, byte_fallback=True, dummy_prefix=False),
    "bpe collapse": dict(type=2, collapse=True),
    "bpe joined words": dict(type=2, more=JOINED),
    "bpe suffix": dict(type=2, suffix=True),
    "bpe rules": dict(type=2, rules=True),
    "unigram": dict(type=1, collapse=True),
    "unigram bytes": dict(type=1, byte_fallback=True, dummy_prefix=False),
    "unigram suffix": dict(type=1, suffix=True, collapse=True),
    "unigram rules": dict(type=1, rules=True, collapse=True),
    "unigram joined words": dict(type=1, more=JOINED),
}


def charsmap():
    """Rules compiled by the package: A to a, e with acute to two characters, one letter to a phrase."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rules.tsv")
        with open(path, "w") as f:
            f.write("41\t61\nC9\t65 301\nFDFA\t61 62 20 61\n42 41\t62\n")
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["ab cd"] * 20),
            model_writer=model,
            vocab_size=9,
            normalization_rule_tsv=path,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    m = proto.ModelProto()
    m.ParseFromString(model.getvalue())
    return m.normalizer_spec.precompiled_charsmap


def build(options, rules):
    m = proto.ModelProto()
    byte_fallback = options.get("byte_fallback", False)
    pieces = SPECIAL + (BYTES if byte_fallback else []) + WORDS + options.get("more", [])
    for piece, score, kind in pieces:
        m.pieces.add(piece=piece, score=score, type=kind)
    m.trainer_spec.model_type = options["type"]
    m.trainer_spec.byte_fallback = byte_fallback
    m.trainer_spec.treat_whitespace_as_suffix = options.get("suffix", False)
    m.normalizer_spec.add_dummy_prefix = options.get("dummy_prefix", True)
    m.normalizer_spec.remove_extra_whitespaces = options.get("collapse", False)
    if options.get("rules"):
        m.normalizer_spec.precompiled_charsmap = rules
    return sentencepiece.SentencePieceProcessor(model_proto=m.SerializeToString())


def main():
    rules = charsmap()
    out = {"special": SPECIAL, "words": WORDS, "charsmap": rules.hex(), "models": []}
    for name, options in MODELS.items():
        sp = build(options, rules)
        cases = [[text, sp.encode(text), sp.decode(sp.encode(text))] for text in TEXTS]
        out["models"].append({"name": name, **options, "cases": cases})
    with open(sys.argv[1], "w") as f:
        models = out.pop("models")
        f.write(json.dumps(out)[:-1] + ',\n"models": [\n' + ",\n".join(json.dumps(m) for m in models) + "\n]}\n")


main()
