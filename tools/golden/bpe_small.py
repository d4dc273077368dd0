#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/tokenizer_*.json: what tests/golden/test_tokenizer.c holds wazn's BPE against.

Usage: tools/golden/bpe_small.py OUT [DATA]
tokenizer_small_NAME.json: a made tokenizer ("tokenizer": a whole tokenizer.json; or "ranks" with their preset) and
[text, ids, ids with special tokens matched] for some hundred texts, by tokenizers or tiktoken.
With DATA, the data collection: tokenizer_texts.json and tokenizer_real_NAME.json, the ids of those texts."""
import base64
import json
import os
import sys
import tempfile

import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import bpe_compare

TRAINING = ["the cat sat on the mat, and the hat's cat didn't sit; we'll see what they've got in 1984 or 2026",
            "int main(void)\n{\n    return 0;\n}\n\n\tfor (int i = 0; i < n; i++)\n        x[i] += y[i];",
            "السلام عليكم ورحمة الله وبركاته كِتابٌ", "中文字符 和 日本語のテキスト 한국어 텍스트",
            "Straße café naïve Übung ÉCOLE HTTPServer camelCase", "😀😀 👨‍👩‍👧 ❤️ 1️⃣"] * 4
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
OWN = r"\p{N}{1,2}|\p{L}+(?:['’]\p{L}+)*|[^\s\p{L}\p{N}]|\s+"


def train(tokenizer, size, alphabet=None, special=()):
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=list(special),
                                  initial_alphabet=alphabet or [])
    tokenizer.train_from_iterator(TRAINING, trainer)
    return tokenizer


def byte_level(steps, size=420, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    return train(tokenizer, size, pre_tokenizers.ByteLevel.alphabet())


def plain_bytes():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def gpt2():
    tokenizer = byte_level([pre_tokenizers.ByteLevel(add_prefix_space=True)])
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken("  ", normalized=True), AddedToken("    ", normalized=True)])
    return tokenizer


def llama3():
    tokenizer = byte_level([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), plain_bytes()], normalizer=normalizers.NFC())
    tokenizer.model.ignore_merges = True
    tokenizer.add_special_tokens([AddedToken("<|a|>", lstrip=True), AddedToken("<|b|>", rstrip=True), "<|c|>"])
    tokenizer.add_tokens([AddedToken("cat", single_word=True), AddedToken("é", normalized=True),
                          AddedToken("e\u0301x", normalized=False), AddedToken("[X]", lstrip=True, rstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<|c|> $A <|a|>", special_tokens=[
        ("<|c|>", tokenizer.token_to_id("<|c|>")), ("<|a|>", tokenizer.token_to_id("<|a|>"))])
    return tokenizer


def own_pattern():
    return byte_level([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Split(Regex(OWN), "isolated"),
                       plain_bytes()])


def merged():
    return byte_level([pre_tokenizers.Split("a", "merged_with_previous"), pre_tokenizers.Split(" ", "merged_with_next"),
                       pre_tokenizers.Split(Regex(r"\p{Lu}+"), "contiguous"), pre_tokenizers.Split("-", "removed"),
                       pre_tokenizers.Punctuation("isolated"), plain_bytes()])


def fallback():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    train(tokenizer, 600, special=special)
    root = json.loads(tokenizer.to_str())  # byte tokens are part of the model, not added tokens
    root["added_tokens"] = [t for t in root["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(root))


def unknown(fuse):
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=fuse, continuing_subword_prefix="##",
                                     end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False, special_tokens=["[UNK]"],
                                  continuing_subword_prefix="##", end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(TRAINING[:2], trainer)
    return tokenizer


def metaspace():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return train(tokenizer, 400, special=["<unk>"])


SMALL = {"gpt2": gpt2, "llama3": llama3, "own": own_pattern, "merged": merged, "fallback": fallback,
         "unknown": lambda: unknown(False), "fused": lambda: unknown(True), "metaspace": metaspace}

MADE = ["", " ", "a", "the cat", "the cat's", "cat cats <|a|> cat <|b|> \n cat<|c|><|a|><|b|>", " <|a|> x <|b|> y ", "e\u0301x é e\u0301",
        "x [X] y[X]  [X]", "    for", "  \n  \n x", "<s>a</s> <unk>", "<0x0A>", "a" * 300, "é" * 130, "ab" * 200, "don't DON'T",
        "a-b--a- aa", "The caT-SAT", "１２３ Ⅷ ½"]


def write(path, value):
    with open(path, "w") as f:
        json.dump(value, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")


def small_texts():
    texts = MADE + bpe_compare.fuzzed(170, 7)
    return [t for t in texts if len(t) < 320]


def write_small(out):
    for name, make in SMALL.items():
        tokenizer = make()
        cases = []
        for text in small_texts():
            tokenizer.encode_special_tokens = True
            plain = tokenizer.encode(text, add_special_tokens=False).ids
            tokenizer.encode_special_tokens = False
            cases.append([text, plain, tokenizer.encode(text, add_special_tokens=True).ids])
        write(f"{out}/tokenizer_small_{name}.json", {"tokenizer": json.loads(tokenizer.to_str()), "cases": cases})


def write_ranks(out):
    """The byte-level vocabulary as ranks: merges of bytes in their order."""
    root = json.loads(byte_level([pre_tokenizers.ByteLevel(add_prefix_space=False)]).to_str())
    to_byte = {c: b for b, c in tokenizer_bytes().items()}
    pieces = [bytes([b]) for b in range(256)]
    pieces += [bytes(to_byte[c] for c in left + right) for left, right in root["model"]["merges"]]
    ranks = {p: i for i, p in enumerate(dict.fromkeys(pieces))}
    with open(os.path.join(os.path.dirname(__file__), "tokenizer_patterns.json")) as f:
        patterns = json.load(f)
    cases = {}
    for preset, pattern in patterns.items():
        encoding = tiktoken.Encoding(preset, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        cases[preset] = [[t, encoding.encode_ordinary(t)] for t in small_texts()[:120]]
    lines = "".join(f"{base64.b64encode(p).decode()} {r}\n" for p, r in ranks.items())
    write(f"{out}/tokenizer_small_ranks.json", {"ranks": lines, "patterns": patterns, "cases": cases})


def tokenizer_bytes():
    """Byte to its printable stand-in."""
    itself = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, n = {b: chr(b) for b in itself}, 0
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + n)
            n += 1
    return table


REAL = {"cl100k": "cl100k ranks / tiktoken", "o200k": "o200k ranks / tiktoken",
        "llama3": "llama3 ranks / tiktoken", "tekken": "tekken.json / mistral-common",
        "gpt2": "gpt2 vocab+merges / tokenizers", "qwen2": "qwen2 vocab+merges / tokenizers",
        "phi2": "phi2 tokenizer.json, special / tokenizers"}


def write_real(out, data):
    lines = [t for t in bpe_compare.multilingual(data) if 2 < len(t) < 90]
    texts = lines[:: len(lines) // 140] + bpe_compare.fuzzed(160, 11)
    texts = [t for t in texts if len(t) < 120]
    write(f"{out}/tokenizer_texts.json", texts)
    made = bpe_compare.references(data)
    for name, reference in REAL.items():
        with tempfile.TemporaryDirectory() as folder:
            encode = made[reference](folder)[3]
            write(f"{out}/tokenizer_real_{name}.json", encode(texts))


if __name__ == "__main__":
    write_small(sys.argv[1])
    write_ranks(sys.argv[1])
    if len(sys.argv) > 2:
        write_real(sys.argv[1], sys.argv[2])
