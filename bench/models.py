#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write a GGUF file with the true shapes of a known model and seeded random weights, to measure speed and memory with.

    python3 bench/models.py llama-1b q8_0 OUT.gguf

Formats are those of single matrices, but for q4_k_m: the mix of q4_k, q5_k and q6_k that most models are published in.
Needs numpy and the gguf package (tools/golden/requirements.txt). The text such a model writes means nothing; the sizes,
the storage formats and the vocabulary's size are those of the original.
"""
import argparse
import os

import gguf
import numpy as np

# name: architecture, layers, width, heads, kv heads, head_dim, ffn, vocabulary, context, rope base, tied
SHAPES = {
    "llama-1b": ("llama", 16, 2048, 32, 8, 64, 8192, 128256, 131072, 500000.0, True),
    "gpt2-124m": ("gpt2", 12, 768, 12, 12, 64, 3072, 50257, 1024, 0.0, True),
    "qwen3-0.6b": ("qwen3", 28, 1024, 16, 8, 128, 3072, 151936, 40960, 1000000.0, True),
    "tiny": ("llama", 2, 256, 8, 4, 32, 512, 1024, 2048, 10000.0, True),
}
TYPES = {"bf16": gguf.GGMLQuantizationType.BF16, "f16": gguf.GGMLQuantizationType.F16,
         "q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0,
         "q4_k": gguf.GGMLQuantizationType.Q4_K, "q5_k": gguf.GGMLQuantizationType.Q5_K,
         "q6_k": gguf.GGMLQuantizationType.Q6_K}
# Where the float16 scales of a block lie, and their size for values of variance about 1 / width.
SCALES = {"q8_0": [(0, 1 / 73)], "q4_0": [(0, 1 / 4.6)], "q4_k": [(0, 1 / 300), (2, 1 / 40)],
          "q5_k": [(0, 1 / 600), (2, 1 / 40)], "q6_k": [(208, 1 / 1200)]}


def format_of(recipe, shape, name):
    """The format of a matrix. Of q4_k_m: the output matrix has six bits (the embedding too where it is that one), and
    so have attn_v and ffn_down in the first and the last eighth of the layers and in every third between."""
    if recipe != "q4_k_m":
        return recipe
    if name == "output.weight" or (name == "token_embd.weight" and shape[-1]):
        return "q6_k"
    part, layer, layers = name.split(".")[-2], int(name.split(".")[1]) if name.startswith("blk.") else 0, shape[1]
    if part == "attn_qkv":
        return "q5_k"
    eighth = layers // 8
    more = layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
    return "q6_k" if part in ("attn_v", "ffn_down") and more else "q4_k"


def rows_of(rng, kind, rows, cols):
    """(rows, bytes of a row): random values of variance about 1 / cols."""
    block, size = gguf.GGML_QUANT_SIZES[TYPES[kind]]
    if kind in ("bf16", "f16"):
        values = rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(cols ** -0.5)
        if kind == "f16":
            return values.astype(np.float16).view(np.uint8)
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    blocks = rng.integers(0, 256, (rows * cols // block, size), dtype=np.uint8)
    for offset, unit in SCALES[kind]:
        scale = np.full(len(blocks), unit * cols ** -0.5, np.float16)
        blocks[:, offset:offset + 2] = scale.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, cols // block * size)


def add_vocabulary(writer, size):
    """Bytes, then words nobody writes, then the end of text."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in visible]
    tokens = [chr(c) for c in visible] + [chr(256 + i) for i in range(len(hidden))]
    tokens += ["th", "in"] + [f"unused{i}" for i in range(size - 259)] + ["<|endoftext|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * (size - 1) + [gguf.TokenType.CONTROL])
    writer.add_token_merges(["t h", "i n"])
    writer.add_bos_token_id(size - 1)
    writer.add_eos_token_id(size - 1)


def add_numbers(writer, shape):
    arch, layers, width, heads, kv_heads, head_dim, ffn, vocabulary, context, base, _ = shape
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    if arch == "gpt2":
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
        writer.add_rope_dimension_count(head_dim)
        writer.add_rope_freq_base(base)
        writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)


def tensors_of_gpt2(shape):
    _, layers, width, _, _, _, ffn, vocabulary, context, _, _ = shape
    yield "token_embd.weight", vocabulary, width
    yield "position_embd.weight", context, width
    parts = {"attn_norm": (width, 0), "attn_qkv": (3 * width, width), "attn_output": (width, width),
             "ffn_norm": (width, 0), "ffn_up": (ffn, width), "ffn_down": (width, ffn)}
    for i in range(layers):
        for part, (rows, cols) in parts.items():
            yield f"blk.{i}.{part}.weight", rows, cols
            yield f"blk.{i}.{part}.bias", rows, 0
    yield "output_norm.weight", width, 0
    yield "output_norm.bias", width, 0


def tensors_of(shape):
    """(name, rows, cols) in the file's order; cols 0: a vector."""
    arch, layers, width, heads, kv_heads, head_dim, ffn, vocabulary, _, _, tied = shape
    if arch == "gpt2":
        yield from tensors_of_gpt2(shape)
        return
    yield "token_embd.weight", vocabulary, width
    for i in range(layers):
        b = f"blk.{i}."
        yield b + "attn_norm.weight", width, 0
        yield b + "attn_q.weight", heads * head_dim, width
        yield b + "attn_k.weight", kv_heads * head_dim, width
        yield b + "attn_v.weight", kv_heads * head_dim, width
        if arch == "qwen3":
            yield b + "attn_q_norm.weight", head_dim, 0
            yield b + "attn_k_norm.weight", head_dim, 0
        yield b + "attn_output.weight", width, heads * head_dim
        yield b + "ffn_norm.weight", width, 0
        yield b + "ffn_gate.weight", ffn, width
        yield b + "ffn_up.weight", ffn, width
        yield b + "ffn_down.weight", width, ffn
    yield "output_norm.weight", width, 0
    if not tied:
        yield "output.weight", vocabulary, width


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("format", choices=[*TYPES, "q4_k_m"])
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    shape = SHAPES[args.shape]
    rng = np.random.default_rng(args.seed)
    beside = args.out + ".part"
    writer = gguf.GGUFWriter(beside, shape[0])
    writer.add_name(f"{args.shape} shape, random weights")
    add_numbers(writer, shape)
    add_vocabulary(writer, shape[7])
    for name, rows, cols in tensors_of(shape):
        if name == "position_embd.weight":
            writer.add_tensor(name, rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(0.01))
        elif cols:
            kind = format_of(args.format, shape, name)
            writer.add_tensor(name, rows_of(rng, kind, rows, cols), raw_dtype=TYPES[kind])
        elif name.endswith(".bias"):
            writer.add_tensor(name, rng.standard_normal(rows, dtype=np.float32) * np.float32(0.01))
        else:
            writer.add_tensor(name, np.ones(rows, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(beside, args.out)


main()
