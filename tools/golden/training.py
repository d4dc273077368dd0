# SPDX-License-Identifier: Apache-2.0
"""Loss curves of 200 steps, by transformers and PyTorch's AdamW: what tests/golden/test_training.c compares with.

    python tools/golden/training.py [CASE ...]

Reads tests/golden/data/models/CASE.json for the model, writes tests/golden/data/training/CASE.json: samples of tokens with
their targets (-1: does not count), the settings, and the loss, gradient norm and learning rate of each step, in float64 and
in float32: how far these two part is how far any other order of summing may.
"""
import json
import math
import pathlib
import sys

import torch

from gradients import OUT, all_double, double_rope, open_model, read_case
from models import fnv1a, splitmix

FOLDER = OUT.parent / "training"
CASES = ["llama_grouped", "gpt2_tied", "qwen3", "gemma3"]
STEPS, SAMPLES, TEXTS, PASSES = 200, 12, 2, 2
LENGTHS = [9, 16, 3, 24, 11, 2, 17, 24, 8, 13, 5, 20]
SETTINGS = {"lr": 3e-3, "lr_min": 3e-4, "warmup": 10, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1,
            "clip": 1.0, "steps": STEPS, "texts": TEXTS, "passes": PASSES}


def samples(name, vocabulary):
    """Tokens of which some repeat, so that there is something to learn; every fifth target does not count. None is 0: some
    families call it padding, whose embedding PyTorch gives no gradient."""
    out = []
    for i, n in enumerate(LENGTHS):
        bits = splitmix(fnv1a(f"{name} sample {i}"), n + 1)
        ids = [1 + int(b % 7) * 3 % (vocabulary - 1) for b in bits]
        out.append({"ids": ids[:-1], "targets": [-1 if b % 5 == 4 else t for b, t in zip(bits.tolist(), ids[1:])]})
        out[-1]["targets"][0] = ids[1]
    return out


def learning_rate(step):
    if step < SETTINGS["warmup"]:
        return SETTINGS["lr"] * (step + 1) / SETTINGS["warmup"]
    way = min(1, (step - SETTINGS["warmup"]) / (STEPS - 1 - SETTINGS["warmup"]))
    return SETTINGS["lr_min"] + (SETTINGS["lr"] - SETTINGS["lr_min"]) * 0.5 * (1 + math.cos(math.pi * way))


def optimizer_of(model):
    """Gains, biases and tables do not decay."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    tables.add(id(model.get_output_embeddings().weight))
    decays = [p for p in model.parameters() if p.ndim > 1 and id(p) not in tables]
    others = [p for p in model.parameters() if p.ndim <= 1 or id(p) in tables]
    return torch.optim.AdamW([{"params": decays, "weight_decay": SETTINGS["weight_decay"]},
                              {"params": others, "weight_decay": 0.0}], lr=1.0,
                             betas=(SETTINGS["beta1"], SETTINGS["beta2"]), eps=SETTINGS["eps"])


def train(model, data):
    optimizer, curve = optimizer_of(model), []
    for step in range(STEPS):
        rows = [data[(step * TEXTS * PASSES + i) % len(data)] for i in range(TEXTS * PASSES)]
        counted = sum(t >= 0 for r in rows for t in r["targets"])
        optimizer.zero_grad()
        total = 0.0
        for r in rows:
            logits = model(torch.tensor([r["ids"]])).logits[0]
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor(r["targets"]), ignore_index=-1,
                                                     reduction="sum") / counted
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["clip"])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.step()
        curve.append([total, norm.item(), learning_rate(step)])
    return curve


def main():
    torch.set_num_threads(1)  # the same sums wherever it runs
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or CASES:
        case, weights = read_case(name)
        data = samples(name, case["config"]["vocab_size"])
        with all_double():
            double = open_model(case["config"], weights, torch.float64)
            if hasattr(double.config, "rope_parameters"):
                double_rope(double)
            wide = train(double, data)
        narrow = train(open_model(case["config"], weights, torch.float32), data)
        (FOLDER / f"{name}.json").write_text(json.dumps(
            {"settings": SETTINGS, "samples": data, "float64": wide, "float32": narrow}, separators=(",", ":")) + "\n")
        print(name, wide[0][0], wide[-1][0], max(abs(a[0] - b[0]) for a, b in zip(wide, narrow)))


if __name__ == "__main__":
    main()
