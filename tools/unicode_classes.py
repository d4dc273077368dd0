#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/unicode_classes.h: the classes of characters that pre-tokenizer patterns ask for.

The classes are asked of tiktoken and Hugging Face tokenizers themselves, character by character, so that they follow
the version of Unicode that these use; the script stops where the two differ.
Usage: tools/unicode_classes.py > src/text/unicode_classes.h"""
import sys
import unicodedata

import tiktoken
from tokenizers import Regex, normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CLASSES = [("UPPER", r"[\p{Lu}\p{Lt}]"), ("LOWER", r"\p{Ll}"), ("OTHER", r"[\p{Lm}\p{Lo}]"), ("MARK", r"\p{M}"),
           ("NUMBER", r"\p{N}"), ("SPACE", r"\s"), ("WORD", r"\w")]


def chunks():
    for i in range(0, len(POINTS), 4096):
        yield POINTS[i:i + 4096]


def by_tiktoken(pattern):
    ranks = {bytes([i]): i for i in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    found = set()
    for chunk in chunks():
        found.update(bytes(encoding.encode_ordinary("".join(map(chr, chunk)))).decode())
    return {ord(c) for c in found}


def by_tokenizers(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for chunk in chunks():
        kept = set("".join(text for text, _ in split.pre_tokenize_str("".join(map(chr, chunk)))))
        found.update(c for c in chunk if chr(c) not in kept)
    return found


def left_alone_by_nfc():
    """Characters that normalise under a later Unicode (Python's here, utf8proc's there) but not under tokenizers', and
    those that join what stands before them only to such."""
    nfc = normalizers.NFC()
    alone = {c for c in POINTS if any(
        nfc.normalize_str(text) != unicodedata.normalize("NFC", text)
        for text in (chr(c), "a\u0345" + chr(c), chr(c) + "\u0334", unicodedata.normalize("NFD", chr(c))))}
    joined = {}
    for c in POINTS:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            joined.setdefault(int(parts[1], 16), set()).add(c)
    return alone | {last for last, whole in joined.items() if whole <= alone}


def main():
    flags = [0] * 0x110000
    for bit, (name, pattern) in enumerate(CLASSES):
        found = by_tiktoken(pattern)
        if name != "WORD" and found != by_tokenizers(pattern):  # Oniguruma's \w is another; added tokens use Rust's
            sys.exit(f"tiktoken and tokenizers differ on {pattern}")
        for point in found:
            flags[point] |= 1 << bit
    for point in left_alone_by_nfc():
        flags[point] |= 1 << len(CLASSES)
    runs = [c << 8 | flags[c] for c in range(0x110000) if c == 0 or flags[c] != flags[c - 1]]
    print("/* SPDX-License-" "Identifier: Apache-2.0 */")
    print("/* Made by tools/unicode_classes.py with tiktoken %s: do not edit. Runs of characters of one kind, in order:" %
          tiktoken.__version__)
    print(" * first character << 8 | enum unicode_class bits. */")
    print("static const uint32_t unicode_runs[] = {")
    line = "   "
    for run in runs:
        if len(line) + 12 > 120:
            print(line)
            line = "   "
        line += " 0x%x," % run
    print(line)
    print("};")


main()
