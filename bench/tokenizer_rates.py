#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rate of byte-level BPE encoding beside tiktoken's, Hugging Face tokenizers' and mistral-common's, one thread each.

Usage: bench/tokenizer_rates.py DATA BUILD [--only NAME] [--rounds N]
DATA: the data collection; BUILD: the build folder. Both sides encode the same blocks of text, turn by turn; processor
time counts, the medians are compared. Prints one JSON line for each tokenizer and text; ratio above 1: wazn is
faster."""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools/golden"))
from bpe_compare import code, read_text, references, run_wazn

BLOCK = 20000  # characters of one string
LENGTH = 500000


def blocks(text):
    return [text[i:i + BLOCK] for i in range(0, len(text), BLOCK)]


def samples(data, build):
    book = subprocess.run(["zstd", "-dc", data + "/text/standard_ebooks/children.txt.zst"], capture_output=True,
                          check=True)
    chinese = read_text(data + "/text/multilingual/pud_zh.txt.gz")
    poems = json.loads(read_text(data + "/text/multilingual/zh_tang300.json.gz"))
    return {
        "English books": blocks(book.stdout.decode()[:LENGTH]),
        "Arabic": blocks("".join(read_text(p) for p in sorted(glob.glob(data + "/text/ar/*.gz")))[:LENGTH]),
        "Chinese": blocks((chinese + "\n".join("".join(p["paragraphs"]) for p in poems))[:LENGTH]),
        "code": blocks("".join(code(build, 4 * LENGTH))[:LENGTH]),
    }


def measure(made, build, texts, rounds):
    path, preset, flags, encode = made
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(float(run_wazn(build, path, preset, flags, texts)[2].split()[-2]))
        begun = time.process_time()
        encode(texts)
        theirs.append(time.process_time() - begun)
    return statistics.median(mine), statistics.median(theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("build")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    texts = samples(args.data, args.build)
    for name, make in references(args.data).items():
        if args.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            made = make(folder)
            for label, blocks_of in texts.items():
                mine, theirs = measure(made, args.build, blocks_of, args.rounds)
                size = sum(len(t.encode()) for t in blocks_of) / 1e6
                print(json.dumps({"bench": "tokenize", "tokenizer": name, "text": label,
                                  "mb_per_s": round(size / mine, 1), "other_mb_per_s": round(size / theirs, 1),
                                  "ratio": round(theirs / mine, 2)}), flush=True)


if __name__ == "__main__":
    main()
