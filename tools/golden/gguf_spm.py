#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/tokenizer_baichuan.json: [text, ids] by the sentencepiece package of a model rebuilt from the
pieces, scores and types of a GGUF vocabulary "llama" (ggml-vocab-baichuan.gguf of the data collection).

Usage: tools/golden/gguf_spm.py DATA OUT
       tools/golden/gguf_spm.py DATA --compare BUILD [N]: compares N fuzzed strings and the collection's lines"""
import json
import os
import sys

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

import bpe_compare


def rebuilt(path):
    """GGUF's defaults for "llama": a dummy prefix, white space kept, byte fallback, no rules."""
    fields = gguf.GGUFReader(path).fields
    tokens, scores, types = (fields["tokenizer.ggml." + k].contents() for k in ("tokens", "scores", "token_type"))
    m = proto.ModelProto()
    for token, score, kind in zip(tokens, scores, types):
        m.pieces.add(piece=token, score=score, type=kind)
    m.trainer_spec.model_type, m.trainer_spec.byte_fallback = 2, True
    m.normalizer_spec.name, m.normalizer_spec.remove_extra_whitespaces = "identity", False
    return sentencepiece.SentencePieceProcessor(model_proto=m.SerializeToString())


def main():
    path = os.path.join(sys.argv[1], "formats/gguf/ggml-vocab-baichuan.gguf")
    model = rebuilt(path)
    lines = [t for t in bpe_compare.multilingual(sys.argv[1]) if 2 < len(t) < 90]
    if sys.argv[2] == "--compare":
        count = int(sys.argv[4]) if len(sys.argv) > 4 else 20000
        texts = [t for t in lines + bpe_compare.fuzzed(count, 3) if "\0" not in t]
        ours, lost, _ = bpe_compare.run_wazn(os.path.abspath(sys.argv[3]), path, "-", 0, texts)
        wrong = [(t, a, b) for t, a, b in zip(texts, ours, map(model.encode, texts)) if a != b]
        print(f"baichuan: {len(texts)} strings, {len(wrong)} differences, {lost} do not decode to themselves")
        for text, mine, theirs in wrong[:3]:
            print(f"  {text!r}\n    wazn  {mine}\n    other {theirs}")
        sys.exit(1 if wrong else 0)
    texts = lines[:: len(lines) // 150] + bpe_compare.fuzzed(220, 11)
    texts = [t for t in texts if len(t) < 100 and "\0" not in t]
    with open(sys.argv[2], "w") as f:
        f.write("[\n" + ",\n".join(json.dumps([t, model.encode(t)]) for t in texts) + "\n]\n")


if __name__ == "__main__":
    main()
