#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unigram in tokenizer.json against Hugging Face tokenizers: made models with Metaspace, byte fallback, normalizers.

Usage: tools/golden/unigram_small.py OUT
writes OUT/tokenizer_small_unigram_NAME.json: a whole tokenizer.json and [text, ids, ids with special tokens matched].
       tools/golden/unigram_small.py --compare BUILD [N]
compares N fuzzed strings for each of the same models, prints one row each, and fails where any differs.

Strings that spell a piece which text must never become are left out: the library's Unigram matches the spellings of
byte pieces (<0x0A>) and, where it is told not to look for special tokens, of those, as pieces like others."""
import json
import os
import re
import sys
import tempfile

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import bpe_compare
from bpe_small import TRAINING, small_texts, write

SPACE = "\u2581"


def trained(pre_tokenizer, normalizer=None, bytes_too=False, size=260):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.UnigramTrainer(vocab_size=size, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"],
                                      unk_token="<unk>", initial_alphabet=[])
    tokenizer.train_from_iterator(TRAINING, trainer)
    root = json.loads(tokenizer.to_str())
    vocab = [[piece, round(score, 4)] for piece, score in root["model"]["vocab"]]
    root["model"]["vocab"] = vocab + ([[f"<0x{b:02X}>", -20.0] for b in range(256)] if bytes_too else [])
    root["model"]["byte_fallback"] = bytes_too
    return Tokenizer.from_str(json.dumps(root))


def always():
    tokenizer = trained(pre_tokenizers.Metaspace(prepend_scheme="always"))
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return tokenizer


def first():
    tokenizer = trained(pre_tokenizers.Metaspace(prepend_scheme="first"), bytes_too=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    tokenizer.add_tokens([AddedToken("cat", single_word=True), AddedToken("[X]", lstrip=True, rstrip=True)])
    tokenizer.add_special_tokens([AddedToken("<|a|>", lstrip=True), AddedToken("<|b|>", rstrip=True), "<|c|>"])
    return tokenizer


def unsplit():
    """No cut between words: the best way through the whole text is sought."""
    tokenizer = trained(pre_tokenizers.Metaspace(prepend_scheme="never", split=False), bytes_too=True)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def folded():
    """Normalizers, and equal scores, where the order of the search decides."""
    steps = [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()]
    tokenizer = trained(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
                        normalizers.Sequence(steps))
    root = json.loads(tokenizer.to_str())
    root["model"]["vocab"] = [[piece, float(round(score))] for piece, score in root["model"]["vocab"]]
    return Tokenizer.from_str(json.dumps(root))


MADE = {"always": always, "first": first, "unsplit": unsplit, "folded": folded}


def spells_none(text, special):
    return not re.search("<0x[0-9A-F]{2}>" if special else "<0x[0-9A-F]{2}>|<unk>|</?s>", text)


def encode(tokenizer, texts, special):
    tokenizer.encode_special_tokens = not special
    return [tokenizer.encode(text, add_special_tokens=special).ids for text in texts]


def write_all(out):
    for name, make in MADE.items():
        tokenizer, texts = make(), [t for t in small_texts() if spells_none(t, False)]
        cases = [list(c) for c in zip(texts, encode(tokenizer, texts, False), encode(tokenizer, texts, True))]
        write(f"{out}/tokenizer_small_unigram_{name}.json", {"tokenizer": json.loads(tokenizer.to_str()), "cases": cases})


def compare(build, count):
    failed = 0
    for seed, (name, make) in enumerate(MADE.items()):
        tokenizer, texts = make(), bpe_compare.fuzzed(count, 100 + seed) + TRAINING + small_texts()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tokenizer.json")
            tokenizer.save(path)
            for special in (False, True):
                flags = 1 + 4 if special else 0  # TOKENIZE_SPECIAL and TOKENIZE_DEFAULT
                kept = [t for t in texts if spells_none(t, special)]
                ours = bpe_compare.run_wazn(build, path, "-", flags, kept)[0]
                theirs = encode(tokenizer, kept, special)
                wrong = [i for i in range(len(kept)) if ours[i] != theirs[i]]
                print(f"unigram {name}{', special' if special else ''}: {len(kept)} strings, {len(wrong)} differences",
                      flush=True)
                for i in wrong[:3]:
                    print(f"  {kept[i]!r}\n    wazn  {ours[i]}\n    other {theirs[i]}", file=sys.stderr)
                failed += len(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        compare(os.path.abspath(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 25000)
    else:
        write_all(sys.argv[1])
