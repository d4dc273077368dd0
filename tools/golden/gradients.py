# SPDX-License-Identifier: Apache-2.0
"""Loss and gradients of the tiny models, by transformers and PyTorch: what tests/golden/test_gradients.c compares with.

    python tools/golden/gradients.py [CASE ...]

Reads tests/golden/data/models/CASE.json for the model, writes tests/golden/data/gradients/CASE.json: two texts (the model's
40 tokens, cut in two), the targets of each token (-1: does not count), the loss, and of the gradient of every tensor

    [name, norm, size norm, float32, [two projections], [[index, gradient, size], ...]]

A gradient is the sum of those of each counting token's own loss; its "size" is the same sum over absolute values: what
rounding scales with. A projection is the sum of the elements with signs from the generator, seeded by the name and "+0" or
"+1". The numbers are float64: transformers computes in float32 inside some modules whatever the weights are, which
`all_double` turns off. "float32" tells how far a run in float32 is off, in units of 2^-24 times the size, at the worst
element of the tensor: what is steep here, a softmax over large logits above all, is so for any implementation.
"""
import contextlib
import json
import math
import pathlib
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

import gpt_oss_models
from models import OUT, fnv1a, splitmix, weight

FOLDER = OUT.parent / "gradients"
CUT = 23
UNIT = 2.0**-24
SAMPLES = 4


@contextlib.contextmanager
def all_double():
    """Whoever asks for float32 gets float64."""
    def redirect(f):
        def wrapped(*args, **named):
            args = [torch.float64 if a is torch.float32 else a for a in args]
            return f(*args, **{k: torch.float64 if v is torch.float32 else v for k, v in named.items()})
        return wrapped
    places = [(torch.Tensor, "to"), (torch, "arange"), (torch.nn.functional, "softmax")]
    kept = [(where, name, getattr(where, name)) for where, name in places] + [(torch.Tensor, "float", torch.Tensor.float)]
    for where, name, f in kept:
        setattr(where, name, redirect(f))
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        for where, name, f in kept:
            setattr(where, name, f)


def read_case(name):
    case = json.loads((OUT / f"{name}.json").read_text())
    make = gpt_oss_models.make_weight if name.startswith("gpt_oss") else lambda e: weight(*e)
    return case, {e[0]: make(e) for e in case["tensors"]}


def texts_of(name, ids):
    """Two texts; each token's target is the next one, but every seventh does not count."""
    skipped = splitmix(fnv1a(name + " targets"), len(ids)) % np.uint64(7) == 0
    out = []
    for first, last in (0, CUT), (CUT, len(ids)):
        targets = [ids[i + 1] if i + 1 < last and not skipped[i] else -1 for i in range(first, last)]
        out.append((ids[first:last], targets))
    return out


def open_model(config, weights, dtype):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        (folder / "config.json").write_text(json.dumps(config.get("text_config", config)))
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        plain = AutoConfig.from_pretrained(folder)
        plain.architectures = None if "text_config" in config else plain.architectures
        model = AutoModelForCausalLM.from_pretrained(folder, config=plain, dtype=dtype, attn_implementation="eager",
                                                     experts_implementation="eager")
        return model.eval()  # nothing is dropped


def double_rope(model):
    """Frequencies are not part of the weights: made again in float64."""
    for module in model.modules():
        if type(module).__name__.endswith("RotaryEmbedding"):
            for name, buffer in type(module)(module.config).named_buffers():
                assert buffer.dtype == torch.float64
                setattr(module, name, buffer)


def token_losses(model, texts):
    for ids, targets in texts:
        logits = model(torch.tensor([ids], dtype=torch.int64)).logits[0]
        counting = [i for i, t in enumerate(targets) if t >= 0]
        losses = torch.nn.functional.cross_entropy(logits[counting], torch.tensor([targets[i] for i in counting]),
                                                   reduction="none")
        yield from losses


def as_saved(model, values):
    """Tensors of a checkpoint whose parameters are `values`: under its names, in its shapes."""
    with tempfile.TemporaryDirectory() as path, torch.no_grad():
        for p, value in zip(model.parameters(), values):
            p.copy_(value)
        model.save_pretrained(path)
        return {name: x.astype(np.float64) for name, x in load_file(pathlib.Path(path) / "model.safetensors").items()}


def gradients(model, texts, counted):
    """Loss, gradients and sizes."""
    parameters = list(model.parameters())
    sums = [torch.zeros_like(p) for p in parameters]
    sizes = [torch.zeros_like(p) for p in parameters]
    loss = 0
    for own in token_losses(model, texts):
        loss += own.item() / counted
        for i, g in enumerate(torch.autograd.grad(own / counted, parameters, retain_graph=True, allow_unused=True)):
            if g is not None:
                sums[i] += g
                sizes[i] += g.abs()
    return loss, as_saved(model, sums), as_saved(model, sizes)


def whole_gradients(model, texts, counted):
    """As training does: one backward pass over everything."""
    sum(token_losses(model, texts)).div(counted).backward()
    return as_saved(model, [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()])


def signs(name, n):
    return 1.0 - 2.0 * (splitmix(fnv1a(name), n) >> np.uint64(63)).astype(np.float64)


def number(x, digits):
    return float(f"%.{digits}g" % x)


def entry(name, gradient, size, float32):
    flat, flat_size = gradient.ravel(), size.ravel()
    places = sorted({int(k) for k in splitmix(fnv1a(name + " places"), SAMPLES - 1) % np.uint64(flat.size)}
                    | {int(np.argmax(flat_size))})
    return [name, number(np.linalg.norm(flat), 12), number(np.linalg.norm(flat_size), 4), number(float32, 3),
            [number((signs(f"{name}+{k}", flat.size) * flat).sum(), 12) for k in range(2)],
            [[k, number(flat[k], 9), number(flat_size[k], 4)] for k in places]]


def scaled_error(gradient, exact, size):
    """In units of rounding; the floor is what tests/golden/test_gradients.c has."""
    floor = np.linalg.norm(size) / math.sqrt(size.size)
    return (abs(gradient - exact) / (size + floor + 1e-300)).max() / UNIT


def make(name):
    case, weights = read_case(name)
    texts = texts_of(name, case["ids"])
    counted = sum(t >= 0 for _, targets in texts for t in targets)
    model = open_model(case["config"], weights, torch.float64)
    assert all(p.dtype == torch.float64 for p in model.parameters())
    with all_double():
        double_rope(model)
        loss, exact, sizes = gradients(model, texts, counted)
    assert sorted(exact) == [e[0] for e in case["tensors"]]
    single = whole_gradients(open_model(case["config"], weights, torch.float32), texts, counted)
    errors = {n: scaled_error(single[n], exact[n], sizes[n]) for n in exact}
    worst = max(errors, key=errors.get)
    assert errors[worst] < 2000, (name, worst, errors[worst])  # the same function, not another one
    out = {"texts": [{"ids": ids, "targets": targets} for ids, targets in texts], "loss": number(loss, 12)}
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in out.items()]
    lines.append('"gradients": [\n' + ",\n".join(json.dumps(entry(n, exact[n], sizes[n], errors[n])) for n in sorted(exact)) + "\n]")
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{name}: loss {loss:.6g}, {len(exact)} tensors, float32 is off by {errors[worst]:.1f} units in {worst}")


def main():
    torch.topk = gpt_oss_models.stable_topk
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or sorted(p.stem for p in OUT.glob("*.json")):
        make(name)


if __name__ == "__main__":
    main()
