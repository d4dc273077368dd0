# SPDX-License-Identifier: Apache-2.0
"""Logits of trained llama2.c checkpoints in float64, from numpy alone: what tests/golden/test_real.c compares with.

    python tools/golden/llama2c.py DATA

DATA is the data collection; writes tests/golden/data/llama2c.json: per checkpoint the token ids and, at a few
positions, the logits with the sum of absolute products behind each of them.
"""
import json
import pathlib
import sys

import numpy as np

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/data/llama2c.json"
CHECKPOINTS = {"weights/babyllama105/model5000.bin": 150, "weights/stories260K/stories260K.bin": 300}


def load(path):
    raw = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocab, length = np.frombuffer(raw, np.int32, 7).tolist()
    shared, vocab = vocab > 0, abs(vocab)
    head = dim // heads
    at = [28]

    def take(*shape):
        n = int(np.prod(shape))
        out = np.frombuffer(raw, np.float32, n, at[0]).astype(np.float64).reshape(shape)
        at[0] += 4 * n
        return out

    w = {"embed": take(vocab, dim), "attn_norm": take(layers, dim), "q": take(layers, dim, dim),
         "k": take(layers, kv_heads * head, dim), "v": take(layers, kv_heads * head, dim), "o": take(layers, dim, dim),
         "mlp_norm": take(layers, dim), "gate": take(layers, hidden, dim), "down": take(layers, dim, hidden),
         "up": take(layers, hidden, dim), "norm": take(dim)}
    take(2, length, head // 2)
    w["out"] = w["embed"] if shared else take(vocab, dim)
    assert at[0] == len(raw)
    return w, layers, heads, kv_heads, head


def rms(x, gain):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * gain


def rotate(x):
    """Neighbours (2i, 2i + 1) of every head turn by position * 10000^(-2i / head)."""
    n, _, head = x.shape
    angle = np.arange(n)[:, None] * 10000.0 ** (-np.arange(0, head, 2) / head)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)[:, None, :]
    return np.stack([turned.real, turned.imag], -1).reshape(x.shape)


def forward(model, ids):
    w, layers, heads, kv_heads, head = model
    n = len(ids)
    x = w["embed"][ids]
    hidden_from = np.triu(np.full((n, n), -np.inf), 1)
    for l in range(layers):
        h = rms(x, w["attn_norm"][l])
        q = rotate((h @ w["q"][l].T).reshape(n, heads, head))
        k = rotate((h @ w["k"][l].T).reshape(n, kv_heads, head)).repeat(heads // kv_heads, 1)
        v = (h @ w["v"][l].T).reshape(n, kv_heads, head).repeat(heads // kv_heads, 1)
        s = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(head) + hidden_from
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", p, v).reshape(n, -1) @ w["o"][l].T
        h = rms(x, w["mlp_norm"][l])
        g = h @ w["gate"][l].T
        x = x + (g / (1 + np.exp(-g)) * (h @ w["up"][l].T)) @ w["down"][l].T
    x = rms(x, w["norm"])
    return x @ w["out"].T, np.abs(x) @ np.abs(w["out"]).T


def main():
    cases = []
    for name, n in CHECKPOINTS.items():
        model = load(pathlib.Path(sys.argv[1]) / name)
        vocab = len(model[0]["embed"])
        ids = [1] + [(7 * i * i + 3 * i + 5) % vocab for i in range(1, n)]
        logits, sums = forward(model, ids)
        rows = [{"position": p, "logits": [float("%.12g" % x) for x in logits[p]],
                 "sums": [float("%.4g" % x) for x in sums[p]]} for p in (0, 20, n - 1)]
        cases.append({"path": name, "ids": ids, "rows": rows})
    OUT.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
