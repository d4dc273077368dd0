#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Learns a vocabulary with wazn and with Hugging Face tokenizers from the same texts, turn by turn.

Usage: bench/tokenizer_train.py WAZN FILE... [--megabytes N] [--vocabulary N] [--pattern gpt2|llama3] [--threads N]
       [--rounds N] [--memory]
FILE: text, also packed as .gz, or .zst (needs the zstd program); the first N megabytes of all, every file one text. Prints seconds of each round, from
reading to the written file, peak memory, how many times as fast wazn is (medians), and whether the merges are equal."""
import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

REFERENCE = """
import json, sys
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
texts, out, pattern, vocabulary = sys.argv[1:5]
t = Tokenizer(models.BPE())
byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)
t.pre_tokenizer = pre_tokenizers.Sequence(
    ([pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []) + [byte_level])
with open(texts) as f:
    t.train_from_iterator((json.loads(line)["text"] for line in f), trainers.BpeTrainer(
        vocab_size=int(vocabulary), min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
t.save(out)
"""

PATTERNS = {
    "gpt2": "",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
              r"|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def read(path):
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout.decode()
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        return f.read().decode()


def write_texts(paths, folder, most):
    """One JSON record a line, at most `most` bytes of text; returns its path and the bytes."""
    done, out = 0, os.path.join(folder, "texts.jsonl")
    with open(out, "w") as f:
        for path in paths:
            text = read(path).encode()[:most - done].decode(errors="ignore")
            done += len(text.encode())
            if text:
                f.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return out, done


def timed(command, threads):
    """Seconds."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "RAYON_NUM_THREADS": str(threads),
                                             "TOKENIZERS_PARALLELISM": "true"})
    return time.perf_counter() - begun


def peak(command, threads):
    """MiB that the process took at most."""
    code = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    out = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True,
                         env={**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"})
    return int(out.stdout.split()[-1]) / 1024


def merges(path):
    with open(path) as f:
        return [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in json.load(f)["model"]["merges"]]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("wazn")
    p.add_argument("files", nargs="+")
    p.add_argument("--megabytes", type=float, default=50)
    p.add_argument("--vocabulary", type=int, default=32000)
    p.add_argument("--pattern", choices=PATTERNS, default="gpt2")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--memory", action="store_true", help="one more run of each, for its peak memory")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        texts, n = write_texts(a.files, folder, int(a.megabytes * 1e6))
        print(f"{n / 1e6:.1f} MB, {a.vocabulary} tokens, pattern {a.pattern}, {a.threads} threads", flush=True)
        theirs = os.path.join(folder, "theirs.json")
        reference = [sys.executable, "-c", REFERENCE, texts, theirs, PATTERNS[a.pattern], str(a.vocabulary)]
        seconds = {"wazn": [], "tokenizers": []}

        def ours(name):
            return [a.wazn, "tokenizer", "train", texts, "-q", "-o", os.path.join(folder, name), "--vocabulary",
                    str(a.vocabulary), "--pattern", a.pattern, "--threads", str(a.threads)]
        for i in range(a.rounds):
            seconds["wazn"].append(timed(ours(f"ours{i}"), a.threads))
            seconds["tokenizers"].append(timed(reference, a.threads))
            print(f"wazn {seconds['wazn'][-1]:.2f} s, tokenizers {seconds['tokenizers'][-1]:.2f} s", flush=True)
        median = {k: statistics.median(v) for k, v in seconds.items()}
        print(f"{median['tokenizers'] / median['wazn']:.2f} times as fast")
        if a.memory:
            print(f"peak memory: wazn {peak(ours('memory'), a.threads):.0f} MiB, tokenizers "
                  f"{peak(reference, a.threads):.0f} MiB")
        same = merges(theirs) == merges(os.path.join(folder, "ours0", "tokenizer.json"))
        print("merges equal" if same else "MERGES DIFFER")
        sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
