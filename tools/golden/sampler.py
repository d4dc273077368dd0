#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/sampler.json: what transformers' logits processors and warpers leave of seeded logits.

Usage: tools/golden/sampler.py OUT.json"""
import json
import sys

import torch
import transformers
from transformers.generation import logits_process as lp

VOCABULARY = 41


def chain(settings, prompt):
    """The processors in the order in which generate() applies them."""
    steps = []
    if "logit_bias" in settings:
        steps.append(lp.SequenceBiasLogitsProcessor([[[int(i)], x] for i, x in settings["logit_bias"].items()]))
    if "repetition_penalty" in settings:
        steps.append(lp.RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
    if "temperature" in settings:
        steps.append(lp.TemperatureLogitsWarper(settings["temperature"]))
    if "top_k" in settings:
        steps.append(lp.TopKLogitsWarper(settings["top_k"]))
    if "top_p" in settings:
        steps.append(lp.TopPLogitsWarper(settings["top_p"]))
    if "min_p" in settings:
        steps.append(lp.MinPLogitsWarper(settings["min_p"]))
    if "typical_p" in settings:
        steps.append(lp.TypicalLogitsWarper(settings["typical_p"]))
    return steps


SETTINGS = [
    {},
    {"temperature": 0.3},
    {"temperature": 2.5},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 1000},
    {"top_p": 0.05},
    {"top_p": 0.5},
    {"top_p": 0.95},
    {"min_p": 0.02},
    {"min_p": 0.3},
    {"min_p": 1.0},
    {"typical_p": 0.2},
    {"typical_p": 0.9},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7},
    {"logit_bias": {"3": 4.0, "7": -2.5, "40": float("-inf")}},
    {"temperature": 0.8, "top_k": 20, "top_p": 0.9},
    {"temperature": 0.7, "top_k": 30, "top_p": 0.8, "min_p": 0.05},
    {"temperature": 1.2, "top_k": 25, "top_p": 0.97, "min_p": 0.01, "typical_p": 0.8},
    {"repetition_penalty": 1.2, "temperature": 0.6, "top_p": 0.9, "logit_bias": {"5": 3.5}},
]


def main():
    torch.manual_seed(2)
    cases = []
    for settings in SETTINGS:
        # Float32 values that a few digits spell exactly, so that both sides start from the same numbers.
        logits = (torch.randn(VOCABULARY, dtype=torch.float64) * 3).mul(1024).round().div(1024).to(torch.float32)
        prompt = torch.randint(0, VOCABULARY, (6,)).tolist()
        scores = logits.to(torch.float64)[None]
        ids = torch.tensor([prompt])
        for step in chain(settings, prompt):
            scores = step(ids, scores)
        probabilities = torch.softmax(scores[0], -1)
        kept = [i for i in range(VOCABULARY) if probabilities[i] > 0]
        if "logit_bias" in settings:
            settings = dict(settings)
            settings["logit_bias"] = {i: x if x > float("-inf") else "-inf" for i, x in settings["logit_bias"].items()}
        cases.append({"settings": settings, "prompt": prompt, "logits": logits.tolist(), "kept": kept,
                      "probabilities": [float("%.12g" % probabilities[i]) for i in kept]})
    with open(sys.argv[1], "w") as f:
        f.write('{"transformers": "%s", "cases": [\n' % transformers.__version__)
        f.write(",\n".join(json.dumps(c) for c in cases))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
