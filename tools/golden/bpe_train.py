#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/bpe_train.json: what Hugging Face tokenizers' BpeTrainer learns from texts.

Usage: tools/golden/bpe_train.py OUT [DATA]
Each case holds its settings and either "texts", "tokens" (by id) and "merges", or, of the data collection (with DATA), the
"file" and a SHA-256 of the merges, "left right" a line."""
import gzip
import hashlib
import json
import os
import random
import sys

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

import bpe_small

O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
CL100K = "|".join([  # tiktoken's, without what Oniguruma reads differently
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s+\z",
    r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
PATTERNS = {"gpt2": None, "llama3": bpe_small.LLAMA3, "cl100k": CL100K, "o200k": O200K}
TEXTS = bpe_small.TRAINING[:6] + ["12 1234 12345 1,234.5", "  two  spaces\n\n\nlines \r\n end \n ", "'S it's WE'LL o'clock"]


def ties():
    """Words of few letters: pairs that occur equally often, tokens that several pairs make."""
    r = random.Random(7)
    return [" ".join("".join(r.choice("abc") for _ in range(r.randint(1, 14))) for _ in range(120)) for _ in range(4)]


def train(texts, pattern, vocabulary, frequency, digits=False, space=False, length=0, specials=()):
    tokenizer = Tokenizer(models.BPE())
    steps = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if PATTERNS[pattern]:
        steps.append(pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=space, use_regex=not PATTERNS[pattern]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=frequency, special_tokens=list(specials), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **({"max_token_length": length} if length else {})))
    model = json.loads(tokenizer.to_str())["model"]
    merges = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    return sorted(model["vocab"], key=model["vocab"].get), merges


def settings(pattern, vocabulary, frequency, digits=False, space=False, length=0, specials=()):
    return {"pattern": pattern, "vocabulary": vocabulary, "frequency": frequency, "digits": digits, "space": space,
            "length": length, "specials": list(specials)}


def small_cases():
    for pattern in PATTERNS:
        yield "languages", TEXTS, settings(pattern, 500, 0, specials=["<|endoftext|>"])
        yield "digits", TEXTS, settings(pattern, 400, 2, digits=True)
    yield "ties", ties(), settings("gpt2", 700, 0)
    yield "ties, specials that are learned too", ties(), settings("llama3", 600, 0, specials=["ab", "Ġa", "<s>", "a", "é!"])
    yield "ties, frequent", ties(), settings("gpt2", 2000, 5)
    yield "ties, short", ties(), settings("gpt2", 600, 0, length=5)
    yield "two bytes", ties(), settings("gpt2", 600, 0, length=2)
    yield "space", TEXTS + ties(), settings("gpt2", 600, 2, space=True)
    yield "space, digits", TEXTS + ties(), settings("gpt2", 600, 2, space=True, digits=True)
    yield "no pairs", ["a b c"], settings("gpt2", 300, 2)
    yield "no room", TEXTS, settings("gpt2", 256, 0)


def real_cases():
    yield "text/tinyshakespeare.txt.gz", settings("gpt2", 8000, 2, specials=["<|endoftext|>"])
    yield "text/tinyshakespeare.txt.gz", settings("llama3", 30000, 0)
    yield "text/the-verdict.txt", settings("o200k", 2000, 2, digits=True)


def read(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        return f.read().decode()


def main():
    out, data = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    path = os.path.join(out, "bpe_train.json")
    cases = []
    for name, texts, s in small_cases():
        tokens, merges = train(texts, **s)
        cases.append({"name": f"{name}, {s['pattern']}", **s, "texts": texts, "tokens": tokens, "merges": merges})
    if data:
        for file, s in real_cases():
            tokens, merges = train([read(os.path.join(data, file))], **s)
            lines = "".join(f"{a} {b}\n" for a, b in merges)
            cases.append({"name": file, **s, "file": file, "count": len(merges),
                          "sha256": hashlib.sha256(lines.encode()).hexdigest()})
    else:
        with open(path) as f:
            cases += [c for c in json.load(f) if "file" in c]
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
