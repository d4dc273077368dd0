#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure wazn and llama.cpp on the same GGUF files and print a table of both (markdown, or JSON).

    python3 bench/compare_llama_cpp.py --peer BUILD/bin --models A.gguf B.gguf --threads 1 2 --depth 0 4096

PEER is a folder with llama-bench, llama-batched-bench and llama-completion; what is missing of the last two is left
out. The programs take turns, one whole round each, so that both see the same machine. Memory and the time to the first
token are those of `wazn run -n 1` and `llama-completion -n 1`: from the start of the process until a byte of the answer
comes, with the file in the page cache. Standard library only.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PROMPT = "Once upon a time there was a small program that read large files and wrote short answers."


def fail(message):
    sys.exit(f"compare_llama_cpp: {message}")


def run(command):
    """Standard output. A program that fails ends everything: half a table misleads."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout


def read_whole(path):
    """So that the page cache holds it: the process before may have needed the memory."""
    block = bytearray(16 << 20)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(block):
            pass


def start_to_first_byte(command):
    """Seconds until the first byte on standard output (or its end), and the peak resident bytes of the process."""
    with tempfile.TemporaryFile() as errors:
        begun = time.monotonic()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL)
        child.stdout.read(1)
        seconds = time.monotonic() - begun
        child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            fail(f"{' '.join(command)} ended with {child.returncode}: {errors.read()[-800:]}")
    return seconds, usage.ru_maxrss * 1024


class Results:
    """(model, threads, measure, side) to a value a round; side is "wazn" or a form of the peer."""

    def __init__(self):
        self.values, self.shares = {}, {}

    def add(self, key, side, value):
        self.values.setdefault(key, {}).setdefault(side, []).append(value)

    def share(self, key, value):
        self.shares.setdefault(key, []).append(value)


class Comparison:
    def __init__(self, options):
        self.o = options
        self.results = Results()
        self.steps = max(1, -(-options.n // options.batch)) if options.batch else 0

    def peer(self, name):
        path = self.o.peer / name
        return str(path) if path.exists() else None

    def wazn_round(self, model, threads, depth):
        o, first = self.o, depth == 0  # prompts and batches are compared where nothing comes before them
        command = [str(o.wazn), "bench", "-m", str(model), "-t", str(threads), "-n", str(o.n), "--depth", str(depth),
                   "-r", "1", "--json", "-q", "-p", str(o.p if first else 1), "-b", str(o.batch if first else 0)]
        got = json.loads(run(command))
        if first:
            key = (model.stem, threads, f"prefill {o.p}")
            self.results.add(key, "wazn", got["prefill_tokens_per_second"])
            self.results.share(key, got["arithmetic_peak_share"])
        if first and o.batch:
            self.results.add((model.stem, threads, f"batch {o.batch}"), "wazn", got["batch_decode_tokens_per_second"])
        key = (model.stem, threads, f"decode at {depth}")
        self.results.add(key, "wazn", got["decode_tokens_per_second"])
        self.results.share(key, got["read_bandwidth_share"])

    def peer_round(self, model, threads, depth, repack):
        o, first, side = self.o, depth == 0, peer_name(repack)
        command = [self.peer("llama-bench"), "-m", str(model), "-t", str(threads), "-n", str(o.n), "-d", str(depth),
                   "-r", "1", "-o", "json", "--repack", str(repack), "-p", str(o.p if first else 0)]
        for test in json.loads(run(command)):
            name = f"prefill {o.p}" if test["n_prompt"] else f"decode at {depth}"
            self.results.add((model.stem, threads, name), side, test["avg_ts"])
        program = self.peer("llama-batched-bench")
        if not (first and o.batch and program):
            return
        command = [program, "-m", str(model), "-t", str(threads), "-c", str(o.batch * (self.steps + 1) + 256), "-npp",
                   "1", "-ntg", str(self.steps), "-npl", str(o.batch), "--output-format", "jsonl"]
        lines = [line for line in run(command + ([] if repack else ["-nr"])).splitlines() if line.startswith("{")]
        self.results.add((model.stem, threads, f"batch {o.batch}"), side, json.loads(lines[-1])["speed_tg"])

    def starts(self, model, threads):
        sides = {"wazn": [str(self.o.wazn), "run", "-m", str(model), "-t", str(threads), "--raw", "--temp", "0", "-n",
                          "1", "-q", PROMPT]}
        program = self.peer("llama-completion")
        for repack in self.o.repack if program else []:
            sides[peer_name(repack)] = [program, "-m", str(model), "-t", str(threads), "--temp", "0", "-n", "1", "-p",
                                        PROMPT, "-no-cnv", "--no-display-prompt", "--no-warmup", "-c", "256"]
            if not repack:
                sides[peer_name(repack)].append("-nr")
        for side, command in sides.items():
            read_whole(model)
            seconds, peak = start_to_first_byte(command)
            self.results.add((model.stem, threads, "start to first token, s"), side, seconds)
            self.results.add((model.stem, threads, "peak memory, GiB"), side, peak / 2**30)

    def measure(self):
        for model in self.o.models:
            for threads in self.o.threads:
                for _ in range(self.o.rounds):
                    for depth in sorted({0, *self.o.depth}):
                        self.wazn_round(model, threads, depth)
                        for repack in self.o.repack:
                            self.peer_round(model, threads, depth, repack)
                    self.starts(model, threads)


def peer_name(repack):
    return "llama.cpp" if repack else "llama.cpp, no repack"


def rows_of(results):
    for key, sides in results.values.items():
        lower = key[2].startswith(("start", "peak"))
        row = {"model": key[0], "threads": key[1], "measure": key[2]}
        if key in results.shares:
            row["share"] = statistics.median(results.shares[key])
        for side, values in sides.items():
            row[side] = {"median": statistics.median(values), "best": min(values) if lower else max(values),
                         "rounds": values}
        for side in sides:
            if side != "wazn":
                ratio = row["wazn"]["median"] / row[side]["median"]
                row[side]["ratio"] = 1 / ratio if lower else ratio
        yield row


def print_table(rows, sides):
    head = ["model", "threads", "measure", "wazn", "best", "share"]
    for side in sides:
        head += [side, "best", "wazn is"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        share = f"{row['share']:.2f}" if "share" in row else ""
        cells = [row["model"], str(row["threads"]), row["measure"], f"{row['wazn']['median']:.2f}",
                 f"{row['wazn']['best']:.2f}", share]
        for side in sides:
            it = row.get(side)
            cells += [f"{it['median']:.2f}", f"{it['best']:.2f}", f"{it['ratio']:.2f} x"] if it else ["", "", ""]
        print("| " + " | ".join(cells) + " |")
    print("\nTokens a second, medians, where nothing else is said. \"wazn is 2 x\": twice as fast, or half the time or "
          "memory. The share is of the arithmetic peak (prefill) or of the read bandwidth (decode), as wazn bench "
          "measures them.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peer", type=pathlib.Path, required=True, help="folder of llama.cpp's programs")
    parser.add_argument("--wazn", type=pathlib.Path, default=pathlib.Path("build/src/cli/wazn"))
    parser.add_argument("--models", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("-p", type=int, default=512, help="tokens of a prompt")
    parser.add_argument("-n", type=int, default=128, help="tokens to generate (of a batch: in all)")
    parser.add_argument("--depth", type=int, nargs="+", default=[0],
                        help="tokens in the cache before those generated; 0 is always measured")
    parser.add_argument("--batch", type=int, default=16, help="0: none")
    parser.add_argument("--repack", type=int, nargs="+", choices=[0, 1], default=[1],
                        help="llama.cpp with (1) or without (0) its repacked weights, or both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    comparison = Comparison(parser.parse_args())
    if not comparison.peer("llama-bench"):
        fail(f"there is no llama-bench in {comparison.o.peer}")
    comparison.measure()
    rows = list(rows_of(comparison.results))
    if comparison.o.json:
        print(json.dumps(rows))
    else:
        print_table(rows, [peer_name(repack) for repack in comparison.o.repack])


if __name__ == "__main__":
    main()
