# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/formats.json: blocks of every file format with the float32 values the gguf package (f8_e4m3:
torch) reads from them, and rows of floats with the bytes its encoders make of them.

Usage: python tools/golden/formats.py tests/golden/data/formats.json
"""
import json
import sys

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import quants

# name: (type, block, bytes, offsets of binary16 scales)
FORMATS = {
    "f32": (Type.F32, 1, 4, ()), "f16": (Type.F16, 1, 2, ()), "bf16": (Type.BF16, 1, 2, ()),
    "q4_0": (Type.Q4_0, 32, 18, (0,)), "q4_1": (Type.Q4_1, 32, 20, (0, 2)),
    "q5_0": (Type.Q5_0, 32, 22, (0,)), "q5_1": (Type.Q5_1, 32, 24, (0, 2)), "q8_0": (Type.Q8_0, 32, 34, (0,)),
    "q2_k": (Type.Q2_K, 256, 84, (80, 82)), "q3_k": (Type.Q3_K, 256, 110, (108,)),
    "q4_k": (Type.Q4_K, 256, 144, (0, 2)), "q5_k": (Type.Q5_K, 256, 176, (0, 2)), "q6_k": (Type.Q6_K, 256, 210, (208,)),
    "iq4_nl": (Type.IQ4_NL, 32, 18, (0,)), "mxfp4": (Type.MXFP4, 32, 17, ()),
}
ENCODED = ["f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "mxfp4"]
# subnormal, smallest normal, negative, largest, infinite
SCALES = [0x0001, 0x83FF, 0x0400, 0xA5C3, 0x7BFF, 0x7C00]


def words(x):
    return "".join("%08x" % w for w in np.ascontiguousarray(x, np.float32).view(np.uint32).ravel())


def scalar_bytes(name, rng):
    if name == "f32":
        return np.array([0, 1, 0x80000000, 0x7F800000, 0xFF7FFFFF, 0x3F800001], np.uint32).view(np.uint8)
    edges = [0, 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0x7F80, 0x7F7F, 0x80, 0x7F, 0x8000, 0x8001, 0xFBFF, 0xFC00, 0x7E00]
    return np.concatenate([np.array(edges, np.uint16), rng.integers(0, 1 << 16, 40, dtype=np.uint16)]).view(np.uint8)


def block_bytes(name, rng):
    kind, block, size, scales = FORMATS[name]
    if block == 1:
        return scalar_bytes(name, rng)
    count = 3 if block == 256 else 8
    rows = rng.integers(0, 256, (count, size), dtype=np.uint8)
    if name == "mxfp4":
        rows[:, 0] = [0, 1, 2, 3, 127, 128, 254, 255]
    for k, offset in enumerate(scales):
        for i in range(count):
            value = SCALES[(i + 2 * k) % len(SCALES)] if i < 6 else int(rng.integers(0, 1 << 15)) & 0x3FFF
            rows[i, offset:offset + 2] = np.array([value], np.uint16).view(np.uint8)
    return rows


def decoded(name, rng):
    data = block_bytes(name, rng)
    with np.errstate(all="ignore"):
        values = quants.dequantize(np.ascontiguousarray(data.reshape(1, -1)), FORMATS[name][0])
    return {"format": name, "bytes": data.tobytes().hex(), "values": words(values)}


def decoded_f8():
    data = np.arange(256, dtype=np.uint8)
    values = torch.from_numpy(data).view(torch.float8_e4m3fn).float().numpy()
    return {"format": "f8_e4m3", "bytes": data.tobytes().hex(), "values": words(values)}


def rows_to_encode(rng):
    """Rows of 32: ordinary sizes, zeros, one value, ties, tiny, large, all equal, just under a power of two,
    halves where the scale is 1."""
    x = rng.standard_normal((13, 32)).astype(np.float32)
    x[1] *= 1e-3
    x[2] = 0
    x[3] = 0
    x[3, 17] = -2.5
    x[4] = np.round(x[4] * 8) / 2
    x[5] *= 1e-9
    x[6] *= 3e4
    x[7] = 0.75
    x[8] = -x[7]
    x[9] = np.arange(32) / 2 - 8
    x[10] *= np.float32(7.9999995) / np.abs(x[10]).max()
    x[11] = np.abs(x[11])
    x[12] = np.arange(32) * 3.5 - 40
    x[12, 5] = -127
    return x


def encoded(name, x):
    with np.errstate(all="ignore"):
        data = np.ascontiguousarray(quants.quantize(x, FORMATS[name][0]))
    return {"format": name, "values": words(x), "bytes": data.tobytes().hex()}


def encoded_f8(x):
    wide = np.concatenate([x.ravel() * 100, np.float32([447, 448, 464, 465, -1e9, 2.0 ** -10, 2.0 ** -10 * 1.5])])
    data = torch.from_numpy(wide).to(torch.float8_e4m3fn).view(torch.uint8).numpy()
    return {"format": "f8_e4m3", "values": words(wide), "bytes": data.tobytes().hex()}


def main():
    rng = np.random.default_rng(20)
    x = rows_to_encode(rng)
    golden = {
        "decode": [decoded(name, rng) for name in FORMATS] + [decoded_f8()],
        "encode": [encoded(name, x) for name in ENCODED] + [encoded_f8(x)],
    }
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump(golden, out, indent=1)
        out.write("\n")


main()
