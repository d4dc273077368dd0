#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure training of GPT-2 124M by wazn and by PyTorch and print a table of both (markdown, or JSON).

    python3 bench/compare_pytorch.py --wazn build/bench/bench-train --model gpt2-124m-bf16.gguf

The model file is one of bench/models.py (gpt2-124m bf16); PyTorch trains transformers' GPT-2 of the same shape, as a
user would: float32 weights, in float32 and under bfloat16 autocast, eager and compiled, with fused AdamW,
without dropout. The sides take turns, each in a process of its own that measures a few passes behind two that do not
count. Compared are tokens a second of whole steps, AdamW included, and the peak resident size of the processes; forward
and backward alone stand beside. --lock FILE: each process runs while it holds
the file's lock. Needs torch and transformers (tools/golden/requirements.txt).
"""
import argparse
import fcntl
import json
import os
import resource
import statistics
import subprocess
import sys
import time

PEERS = {"float32": ("float32", False), "bf16": ("bf16", False), "float32 compiled": ("float32", True),
         "bf16 compiled": ("bf16", True)}


def fail(message):
    sys.exit(f"compare_pytorch: {message}")


def train(batch, tokens, kind, compiled, passes, threads):
    """The peer, in a process of its own: a line of JSON for each pass."""
    import torch
    import transformers
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    config = transformers.GPT2Config(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    model = transformers.GPT2LMHeadModel(config).train()
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(0, config.vocab_size, (batch, tokens))
    for i in range(passes + 2):
        start = time.monotonic()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bf16"):
            loss = run(input_ids=ids, labels=ids).loss
        loss.backward()
        middle = time.monotonic()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        end = time.monotonic()
        if i >= 2:
            print(json.dumps({"tokens_per_second": batch * tokens / (middle - start),
                              "step_tokens_per_second": batch * tokens / (end - start),
                              "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)


class Comparison:
    def __init__(self, options):
        self.o, self.values = options, {}

    def add(self, shape, side, command):
        with open(self.o.lock or os.devnull, "a", encoding="ascii") as lock:
            if self.o.lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
            done = subprocess.run(self.o.prefix.split() + command, capture_output=True, text=True, check=False)
        if done.returncode:
            fail(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-800:]}")
        passes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        self.values.setdefault(shape, {}).setdefault(side, []).extend(passes)

    def measure(self):
        o = self.o
        for shape in o.shapes:
            batch, tokens = shape.split("x")
            for _ in range(o.rounds):
                self.add(shape, "wazn", [o.wazn, o.model, "--batch", batch, "--tokens", tokens, "--threads",
                                         str(o.threads), "--rounds", str(o.passes)])
                for peer in o.peers:
                    kind, compiled = PEERS[peer]
                    self.add(shape, peer, [sys.executable, __file__, "--train", batch, tokens, kind,
                                           str(int(compiled)), str(o.passes), str(o.threads)])

    def rows(self):
        for shape, sides in self.values.items():
            row = {"shape": shape}
            for side, passes in sides.items():
                keys = ("tokens_per_second", "step_tokens_per_second", "peak_rss", "share")
                row[side] = {k: statistics.median(p[k] for p in passes) for k in keys if k in passes[0]}
            best = max(self.o.peers, key=lambda p: row[p]["step_tokens_per_second"])
            row["best"] = best
            row["ratio"] = row["wazn"]["step_tokens_per_second"] / row[best]["step_tokens_per_second"]
            row["memory_ratio"] = row["wazn"]["peak_rss"] / row[best]["peak_rss"]
            yield row


def print_table(rows, peers):
    head = ["texts x tokens", "wazn", "with AdamW", "share of peak", "GiB"]
    for peer in peers:
        head += [f"PyTorch {peer}", "with AdamW", "GiB"]
    head += ["ratio to the best", "of its memory"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        own = row["wazn"]
        cells = [row["shape"], f"{own['tokens_per_second']:.0f}", f"{own['step_tokens_per_second']:.0f}",
                 f"{own['share']:.2f}", f"{own['peak_rss'] / 2**30:.2f}"]
        for peer in peers:
            it = row[peer]
            cells += [f"{it['tokens_per_second']:.0f}", f"{it['step_tokens_per_second']:.0f}",
                      f"{it['peak_rss'] / 2**30:.2f}"]
        cells += [f"{row['ratio']:.2f}", f"{row['memory_ratio']:.2f}"]
        print("| " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--wazn", default="build/bench/bench-train")
    parser.add_argument("--model", required=True)
    parser.add_argument("--shapes", nargs="+", default=["4x64", "4x256", "1x1024"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=4, help="of a process in a round")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS),
                        help="compiled ones need a C++ compiler")
    parser.add_argument("--prefix", default="", help="put before every command, as in 'chrt -f 10'")
    parser.add_argument("--lock", help="a file to lock while a process runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    comparison = Comparison(options)
    comparison.measure()
    rows = list(comparison.rows())
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print_table(rows, options.peers)


if sys.argv[1:2] == ["--train"]:
    train(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5] == "1", int(sys.argv[6]), int(sys.argv[7]))
else:
    main()
