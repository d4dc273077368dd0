# SPDX-License-Identifier: Apache-2.0
"""A gpt-oss of random weights with the true shapes, for measuring: as a Hugging Face folder and as GGUF.

    python tools/make_gpt_oss.py hf|gguf --out PATH [--size 20b|120b|small] [--seed N] [--sparse] [--ranks FILE]

Both forms of one seed hold the same numbers. Weights come out of a pool of random bytes from which every matrix takes a
piece of its own, so that writing is as fast as the disk and takes little memory. --sparse writes the headers and sizes
the file without filling it: for plans of models too large for this disk. --ranks: o200k_base.tiktoken (may be gzipped),
for the tokenizer. Needs numpy alone.
"""
import argparse
import base64
import gzip
import json
import pathlib
import struct
import zlib

import numpy as np

SIZES = {  # layers, experts, used, dim, ffn, heads, kv_heads, head_dim, vocabulary, window
    "20b": (24, 32, 4, 2880, 2880, 64, 8, 64, 201088, 128),
    "120b": (36, 128, 4, 2880, 2880, 64, 8, 64, 201088, 128),
    "small": (4, 8, 4, 192, 160, 8, 2, 64, 201088, 16),
}
PIECE = 1 << 20  # blocks, and values, of the pools before they repeat
SPECIAL = {199998: "<|startoftext|>", 199999: "<|endoftext|>", 200002: "<|return|>", 200003: "<|constrain|>",
           200005: "<|channel|>", 200006: "<|start|>", 200007: "<|end|>", 200008: "<|message|>", 200012: "<|call|>",
           200018: "<|endofprompt|>"}


class Shape:
    def __init__(self, size):
        (self.layers, self.experts, self.used, self.dim, self.ffn, self.heads, self.kv_heads, self.head_dim,
         self.vocabulary, self.window) = SIZES[size]
        self.q, self.kv = self.heads * self.head_dim, self.kv_heads * self.head_dim


class Pool:
    """Random numbers by name: a piece of one pool, at a place that depends on the name and the seed."""

    def __init__(self, seed, most_blocks):
        random = np.random.default_rng(seed)
        self.seed = seed
        normal = random.standard_normal(2 * PIECE, dtype=np.float32)
        normal[np.abs(normal) < 2.0**-20] = 1
        self.normal = (normal.view(np.uint32) >> 16).astype(np.uint16)  # bfloat16
        self.nibbles = random.integers(0, 256, (PIECE + most_blocks, 16), dtype=np.uint8)
        self.scales = random.integers(119, 122, PIECE + most_blocks, dtype=np.uint8)
        low, high = self.nibbles & 15, self.nibbles >> 4
        values = np.stack([low, high], axis=-1).reshape(-1, 32)
        self.ggml = values[:, :16] | values[:, 16:] << 4  # the same values in ggml's order

    def place(self, name):
        return zlib.crc32(f"{self.seed} {name}".encode()) % PIECE

    def floats(self, name, count, exponent, base=0.0):
        """bfloat16 of deviation 2^exponent around base, in pieces."""
        scaled = self.normal + np.uint16(exponent << 7 & 0xFFFF)  # adds to the exponent's bits
        if base:
            wide = (scaled.astype(np.uint32) << 16).view(np.float32) + np.float32(base)
            scaled = (wide.view(np.uint32) >> 16).astype(np.uint16)
        for i, first in enumerate(range(0, count, PIECE)):
            at = self.place(f"{name} {i}")
            yield scaled[at:at + min(PIECE, count - first)]

    def blocks(self, name, expert, count, ggml=False):
        at = self.place(f"{name} {expert}")
        return (self.ggml if ggml else self.nibbles)[at:at + count], self.scales[at:at + count]


def tensors(s):
    """(Hugging Face name, GGUF name, shape, kind, deviation's exponent, base) of all that is no expert's matrix."""
    yield "model.embed_tokens.weight", "token_embd.weight", (s.vocabulary, s.dim), "matrix", 0, 0
    yield "lm_head.weight", "output.weight", (s.vocabulary, s.dim), "matrix", -5, 0
    yield "model.norm.weight", "output_norm.weight", (s.dim,), "vector", -4, 1
    for n in range(s.layers):
        hf, own = f"model.layers.{n}.", f"blk.{n}."
        yield hf + "input_layernorm.weight", own + "attn_norm.weight", (s.dim,), "vector", -4, 1
        yield hf + "post_attention_layernorm.weight", own + "post_attention_norm.weight", (s.dim,), "vector", -4, 1
        for name, short, rows in ("q_proj", "q", s.q), ("k_proj", "k", s.kv), ("v_proj", "v", s.kv):
            yield hf + f"self_attn.{name}.weight", own + f"attn_{short}.weight", (rows, s.dim), "matrix", -6, 0
            yield hf + f"self_attn.{name}.bias", own + f"attn_{short}.bias", (rows,), "vector", -6, 0
        yield hf + "self_attn.o_proj.weight", own + "attn_output.weight", (s.dim, s.q), "matrix", -6, 0
        yield hf + "self_attn.o_proj.bias", own + "attn_output.bias", (s.dim,), "vector", -6, 0
        yield hf + "self_attn.sinks", own + "attn_sinks.weight", (s.heads,), "vector", 0, 0
        yield hf + "mlp.router.weight", own + "ffn_gate_inp.weight", (s.experts, s.dim), "vector", -5, 0
        yield hf + "mlp.router.bias", own + "ffn_gate_inp.bias", (s.experts,), "vector", -6, 0
        yield hf + "mlp.experts.down_proj_bias", own + "ffn_down_exps.bias", (s.experts, s.dim), "vector", -6, 0


def config(s):
    kinds = ["sliding_attention", "full_attention"]
    return {
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "num_hidden_layers": s.layers,
        "num_local_experts": s.experts, "num_experts_per_tok": s.used, "experts_per_token": s.used,
        "hidden_size": s.dim, "intermediate_size": s.ffn, "num_attention_heads": s.heads,
        "num_key_value_heads": s.kv_heads, "head_dim": s.head_dim, "vocab_size": s.vocabulary,
        "layer_types": [kinds[n % 2] for n in range(s.layers)], "sliding_window": s.window,
        "initial_context_length": 4096, "max_position_embeddings": 131072, "rope_theta": 150000,
        "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                         "original_max_position_embeddings": 4096, "truncate": False},
        "swiglu_limit": 7.0, "attention_bias": True, "hidden_act": "silu", "rms_norm_eps": 1e-05,
        "tie_word_embeddings": False, "eos_token_id": 200002, "pad_token_id": 199999, "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": [
            "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]},
    }


def plan_hf(s, pool):
    """(name, dtype, shape, bytes, chunks): chunks is called when the tensor is written."""
    for name, _, shape, _, exponent, base in tensors(s):
        count = int(np.prod(shape))
        yield (name, "BF16", shape, 2 * count,
               lambda name=name, count=count, e=exponent, b=base: pool.floats(name, count, e, b))
    for n in range(s.layers):
        start = f"model.layers.{n}.mlp.experts."
        count = s.experts * 2 * s.ffn
        yield (start + "gate_up_proj_bias", "BF16", (s.experts, 2 * s.ffn), 2 * count,
               lambda name=start + "gate_up_proj_bias", count=count: pool.floats(name, count, -6))
        for name, rows, cols in ("gate_up_proj", 2 * s.ffn, s.dim), ("down_proj", s.dim, s.ffn):
            blocks, shape = rows * cols // 32, (s.experts, rows, cols // 32)
            for part, (kind, size) in enumerate((("_blocks", 16), ("_scales", 1))):
                yield (start + name + kind, "U8", shape + (16,) if size == 16 else shape, s.experts * blocks * size,
                       lambda key=start + name, blocks=blocks, part=part: (
                           pool.blocks(key, e, blocks)[part] for e in range(s.experts)))



def write_hf(folder, s, pool, sparse, ranks):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(s), indent=1))
    (folder / "generation_config.json").write_text(json.dumps({
        "bos_token_id": 199998, "do_sample": True, "eos_token_id": [200002, 199999, 200012], "pad_token_id": 199999}))
    if ranks:
        (folder / "o200k_harmony.tiktoken").write_bytes(ranks)
    plan, header, at = list(plan_hf(s, pool)), {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape, size, _ in plan:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    with open(folder / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        if sparse:
            f.truncate(f.tell() + at)
            return
        for *_, chunks in plan:
            for chunk in chunks():
                f.write(np.ascontiguousarray(chunk).data)


def wide(chunk):
    return (chunk.astype(np.uint32) << 16).view(np.float32)


def gate_up_bias(s, pool, n, parity):
    name = f"model.layers.{n}.mlp.experts.gate_up_proj_bias"
    yield wide(np.concatenate(list(pool.floats(name, s.experts * 2 * s.ffn, -6)))[parity::2])


def mxfp4(s, pool, name, rows, cols, parity=None):
    """An expert at a time: rows of blocks of a scale and 16 bytes; of every other row where parity is given."""
    for e in range(s.experts):
        nibbles, scales = pool.blocks(name, e, rows * cols // 32, ggml=True)
        nibbles, scales = nibbles.reshape(rows, cols // 32, 16), scales.reshape(rows, cols // 32)
        if parity is not None:
            nibbles, scales = nibbles[parity::2], scales[parity::2]
        out = np.empty(scales.shape + (17,), np.uint8)
        out[..., 0], out[..., 1:] = scales, nibbles
        yield out


def plan_gguf(s, pool):
    """(name, ggml type, shape slowest first, bytes, chunks)"""
    for name, own, shape, kind, exponent, base in tensors(s):
        count = int(np.prod(shape))
        if kind == "matrix":
            yield (own, 30, shape, 2 * count,
                   lambda name=name, count=count, e=exponent, b=base: pool.floats(name, count, e, b))
        else:
            yield (own, 0, shape, 4 * count, lambda name=name, count=count, e=exponent, b=base: map(
                wide, pool.floats(name, count, e, b)))
    for n in range(s.layers):
        start, own = f"model.layers.{n}.mlp.experts.", f"blk.{n}.ffn_"
        for parity, part in enumerate(("gate", "up")):
            yield (own + part + "_exps.bias", 0, (s.experts, s.ffn), 4 * s.experts * s.ffn,
                   lambda n=n, parity=parity: gate_up_bias(s, pool, n, parity))
            yield (own + part + "_exps.weight", 39, (s.experts, s.ffn, s.dim), s.experts * s.ffn * s.dim // 32 * 17,
                   lambda key=start + "gate_up_proj", parity=parity: mxfp4(s, pool, key, 2 * s.ffn, s.dim, parity))
        yield (own + "down_exps.weight", 39, (s.experts, s.dim, s.ffn), s.experts * s.dim * s.ffn // 32 * 17,
               lambda key=start + "down_proj": mxfp4(s, pool, key, s.dim, s.ffn))


def text(t):
    t = t.encode() if isinstance(t, str) else t
    return struct.pack("<Q", len(t)) + t


class Keys:
    def __init__(self):
        self.n, self.bytes = 0, b""

    def add(self, key, kind, value):
        self.n += 1
        self.bytes += text(key) + struct.pack("<I", kind) + value

    def whole(self, key, value):
        self.add(key, 4, struct.pack("<I", value))

    def real(self, key, value):
        self.add(key, 6, struct.pack("<f", value))

    def text(self, key, value):
        self.add(key, 8, text(value))

    def array(self, key, kind, values, packed):
        self.add(key, 9, struct.pack("<IQ", kind, len(values)) + packed)


def unicode_of_bytes():
    """GPT-2's visible character for every byte."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for b in range(256):
        if b in visible:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + extra)
            extra += 1
    return table


def split_of(token, ranks):
    """The two parts that were merged into a token: what its bytes become when only lower ranks may merge."""
    parts, limit = [token[i:i + 1] for i in range(len(token))], ranks[token]
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], limit))
        if ranks.get(parts[best] + parts[best + 1], limit) >= limit:
            return None
        parts[best:best + 2] = [parts[best] + parts[best + 1]]
    return parts


def add_tokenizer(keys, s, rank_file):
    ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in rank_file.splitlines() if line}
    table = unicode_of_bytes()

    def show(token):
        return "".join(table[b] for b in token)
    tokens = [SPECIAL.get(i, f"<|reserved_{i}|>") for i in range(s.vocabulary)]
    kinds = [3] * s.vocabulary
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        tokens[rank], kinds[rank] = show(token), 1
        parts = split_of(token, ranks) if len(token) > 1 else None
        if parts:
            merges.append(f"{show(parts[0])} {show(parts[1])}")
    keys.text("tokenizer.ggml.model", "gpt2")
    keys.text("tokenizer.ggml.pre", "gpt-4o")
    keys.array("tokenizer.ggml.tokens", 8, tokens, b"".join(map(text, tokens)))
    keys.array("tokenizer.ggml.token_type", 5, kinds, struct.pack(f"<{len(kinds)}i", *kinds))
    keys.array("tokenizer.ggml.merges", 8, merges, b"".join(map(text, merges)))
    for name, token in ("bos", 199998), ("eos", 200002), ("padding", 199999):
        keys.whole(f"tokenizer.ggml.{name}_token_id", token)


def gguf_keys(s, ranks):
    keys = Keys()
    keys.text("general.architecture", "gpt-oss")
    keys.text("general.name", "gpt-oss of random weights")
    for key, value in (("block_count", s.layers), ("context_length", 131072), ("embedding_length", s.dim),
                       ("feed_forward_length", s.ffn), ("attention.head_count", s.heads),
                       ("attention.head_count_kv", s.kv_heads), ("attention.key_length", s.head_dim),
                       ("attention.value_length", s.head_dim), ("attention.sliding_window", s.window),
                       ("expert_count", s.experts), ("expert_used_count", s.used),
                       ("expert_feed_forward_length", s.ffn), ("rope.scaling.original_context_length", 4096)):
        keys.whole("gpt-oss." + key, value)
    keys.real("gpt-oss.attention.layer_norm_rms_epsilon", 1e-5)
    keys.real("gpt-oss.rope.freq_base", 150000)
    keys.text("gpt-oss.rope.scaling.type", "yarn")
    keys.real("gpt-oss.rope.scaling.factor", 32)
    if ranks:
        add_tokenizer(keys, s, ranks)
    return keys


def write_gguf(path, s, pool, sparse, ranks):
    plan, keys = list(plan_gguf(s, pool)), gguf_keys(s, ranks)
    info, at = b"", 0
    for name, kind, shape, size, _ in plan:
        info += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        info += struct.pack("<IQ", kind, at)
        at += (size + 31) // 32 * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(plan), keys.n) + keys.bytes + info
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % 32))
        if sparse:
            f.truncate(f.tell() + at)
            return
        for _, _, _, size, chunks in plan:
            for chunk in chunks():
                f.write(np.ascontiguousarray(chunk).data)
            f.write(bytes(-size % 32))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("form", choices=["hf", "gguf"])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="20b")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sparse", action="store_true")
    parser.add_argument("--ranks", type=pathlib.Path)
    o = parser.parse_args()
    s = Shape(o.size)
    ranks = o.ranks.read_bytes() if o.ranks else None
    if ranks and o.ranks.suffix == ".gz":
        ranks = gzip.decompress(ranks)
    pool = Pool(o.seed, max(2 * s.ffn * s.dim, s.dim * s.ffn) // 32)
    (write_hf if o.form == "hf" else write_gguf)(o.out, s, pool, o.sparse, ranks)


if __name__ == "__main__":
    main()
