# SPDX-License-Identifier: Apache-2.0
"""Steps of PyTorch's own Muon: what tests/golden/test_muon.c compares with.

    python tools/golden/muon.py

Writes tests/golden/data/muon.json: a wide and a high matrix after STEPS steps. Their numbers and gradients come from the
generator, seeded by "muon weight ROWS COLS" and "muon gradient ROWS COLS STEP". PyTorch orthogonalises in bf16; here it
does so in float64.
"""
import json
import math

import numpy as np
import torch

from models import OUT, fnv1a, splitmix

SHAPES = [(12, 20), (20, 12), (9, 9)]
STEPS = 4
SETTINGS = {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.95}


def numbers(name, rows, cols):
    """From -1 to 1 in steps that float32 has."""
    bits = splitmix(fnv1a(name), rows * cols) >> np.uint64(40)
    return torch.tensor(bits.astype(np.float64) / 2.0**23 - 1).reshape(rows, cols)


def double_to(plain):
    def to(self, *args, **named):
        if named.get("dtype") is torch.bfloat16:
            named["dtype"] = torch.float64
        return plain(self, *args, **named)
    return to


def steps(rows, cols):
    weight = torch.nn.Parameter(numbers(f"muon weight {rows} {cols}", rows, cols))
    muon = torch.optim.Muon([weight], adjust_lr_fn="match_rms_adamw", **SETTINGS)
    for step in range(STEPS):
        weight.grad = numbers(f"muon gradient {rows} {cols} {step}", rows, cols)
        muon.step()
    assert math.isfinite(weight.sum().item())
    return {"rows": rows, "cols": cols, "weight": weight.flatten().tolist()}


def main():
    torch.set_num_threads(1)
    torch.Tensor.to = double_to(torch.Tensor.to)
    out = {"settings": SETTINGS, "steps": STEPS, "matrices": [steps(*shape) for shape in SHAPES]}
    (OUT.parent / "muon.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
