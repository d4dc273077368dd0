# SPDX-License-Identifier: Apache-2.0
"""Quantizes the models that recipes.py left in FOLDER with wazn and compares every tensor with llama.cpp's: its format,
its bytes, and where those differ the squared error against the source.

Usage: python tools/golden/recipes.py FOLDER_OF_LIBLLAMA out.json FOLDER
       python tools/golden/recipes_compare.py build/src/cli/wazn FOLDER
"""
import collections
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGUFReader, quants


def error_of(tensor, source):
    values = quants.dequantize(tensor.data, tensor.tensor_type).ravel().astype(np.float64)
    return ((values - source) ** 2).sum()


class Tally:
    def __init__(self):
        self.tensors = self.equal = self.not_worse = 0
        self.ours = self.theirs = 0.0

    def add(self, own, reference, source):
        self.tensors += 1
        if np.array_equal(own.data.view(np.uint8).ravel(), reference.data.view(np.uint8).ravel()):
            self.equal += 1
            return
        x = np.array(source.data, dtype=np.float64).ravel()
        a, b = error_of(own, x), error_of(reference, x)
        self.not_worse += a <= b
        self.ours += a / (x * x).sum()
        self.theirs += b / (x * x).sum()


def compare(wazn, folder, reference, tallies):
    name, recipe = reference.stem.split("-")
    source = {t.name: t for t in GGUFReader(folder / f"{name}.gguf").tensors}
    with tempfile.TemporaryDirectory() as temporary:
        out = pathlib.Path(temporary) / "out.gguf"
        subprocess.run([wazn, "quantize", "-q", "-m", folder / f"{name}.gguf", "--to", recipe, "-o", out], check=True)
        own = {t.name: t for t in GGUFReader(out).tensors}
        other = 0
        for t in GGUFReader(reference).tensors:
            if own[t.name].tensor_type != t.tensor_type:
                other += 1
                print(f"{reference.stem}: {t.name} is {own[t.name].tensor_type.name}, not {t.tensor_type.name}")
            else:
                tallies[t.tensor_type.name].add(own[t.name], t, source[t.name])
    return other


def main():
    wazn, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    tallies = collections.defaultdict(Tally)
    other = sum(compare(wazn, folder, path, tallies) for path in sorted(folder.glob("*-*.gguf")))
    print(f"{sum(t.tensors for t in tallies.values())} tensors, {other} of another format")
    for name, t in sorted(tallies.items()):
        rest = t.tensors - t.equal
        text = f"{name:7} {t.tensors:5} tensors, {t.equal:5} with equal bytes"
        if rest:
            text += (f"; of {rest} others {t.not_worse} with an error not above llama.cpp's: on average "
                     f"{t.ours / rest:.4g} of the square, there {t.theirs / rest:.4g}")
        print(text)


main()
