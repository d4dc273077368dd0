#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seed inputs of the fuzz targets safetensors, gguf, gguf_tokenizer, llama2c and folder: small files, each
with a feature."""
import json
import pathlib
import struct
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/fuzz/corpus")


def put(target, name, data):
    (ROOT / target).mkdir(parents=True, exist_ok=True)
    assert len(data) < 8192, (target, name, len(data))
    (ROOT / target / name).write_bytes(data)


def safetensors(header, data, pad=8):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % pad)
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


put("safetensors", "empty", safetensors({}, b""))
put("safetensors", "one", safetensors({"w": entry("F32", [2, 2], 0, 16)}, bytes(16)))
put("safetensors", "several", safetensors({
    "__metadata__": {"format": "pt"}, "b": entry("BF16", [3], 16, 22), "a": entry("F16", [4, 2], 0, 16),
    "scalar": entry("I64", [], 22, 30), "none": entry("F32", [0, 5], 30, 30), "four": entry("F4", [4], 30, 32)},
    bytes(32), 1))
put("safetensors", "unknown", safetensors({"w": entry("Q9", [3], 0, 5)}, bytes(5)))
put("safetensors", "overlap", safetensors({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, bytes(6)))
put("safetensors", "overflow", safetensors({"a": entry("F64", [2**40, 2**40], 0, 8)}, bytes(8)))
put("safetensors", "twice", safetensors(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":0}', b""))


def string(text):
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def key(name, kind, value):
    formats = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
    if kind == 8:
        raw = string(value)
    elif kind == 9:
        element, items = value
        raw = struct.pack("<IQ", element, len(items))
        raw += b"".join(string(x) if element == 8 else struct.pack("<" + formats[element], x) for x in items)
    else:
        raw = struct.pack("<" + formats[kind], value)
    return string(name) + struct.pack("<I", kind) + raw


def gguf(keys, tensors=(), version=3):
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(keys)
    data = b""
    for name, dims, kind, size in tensors:
        data += bytes(-len(data) % 32)
        out += string(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        out += struct.pack("<IQ", kind, len(data))
        data += bytes(size)
    return out + bytes(-len(out) % 32 if tensors else 0) + data


def model(arch, extra=(), tensors=()):
    common = [("block_count", 4, 4), ("embedding_length", 4, 8), ("context_length", 4, 64),
              ("attention.head_count", 4, 2), ("attention.head_count_kv", 9, (5, [1, 1, 2, 1])),
              ("attention.layer_norm_rms_epsilon", 6, 1e-5), ("feed_forward_length", 10, 16)]
    keys = [key("general.architecture", 8, arch)]
    keys += [key(f"{arch}.{name}", kind, value) for name, kind, value in list(common) + list(extra)]
    return gguf(keys, tensors)


put("gguf", "empty", gguf([]))
put("gguf", "types", gguf([key(f"k{i}", i, 1) for i in (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12)], version=2))
put("gguf", "vocabulary", gguf([
    key("general.architecture", 8, "llama"), key("tokenizer.ggml.model", 8, "llama"),
    key("tokenizer.ggml.tokens", 9, (8, ["<unk>", "<s>", "</s>", "a", "b"])),
    key("tokenizer.ggml.scores", 9, (6, [0, 0, 0, -1, -2])), key("tokenizer.ggml.token_type", 9, (5, [2, 3, 3, 1, 1])),
    key("tokenizer.ggml.eos_token_id", 4, 2), key("tokenizer.ggml.eot_token_id", 4, 3),
    key("general.sampling.temp", 6, 0.5), key("tokenizer.chat_template", 8, "{{ messages }}")]))
put("gguf", "qwen3", model("qwen3", [("rope.freq_base", 6, 1e6), ("rope.scaling.type", 8, "yarn"),
                                     ("rope.scaling.factor", 6, 4.0), ("attention.key_length", 4, 6)],
                           [("token_embd.weight", (8, 5), 0, 160), ("output_norm.weight", (8,), 0, 32)]))
put("gguf", "gemma3", model("gemma3", [("attention.sliding_window", 4, 8),
                                       ("attention.sliding_window_pattern", 9, (7, [1, 1, 0, 1]))]))
put("gguf", "gpt_oss", model("gpt-oss", [("attention.sliding_window", 4, 8), ("expert_count", 4, 4)],
                             [("a", (32, 2), 8, 68), ("b", (64,), 39, 34), ("c", (8,), 77, 0)]))
put("gguf", "aligned", gguf([key("general.alignment", 4, 64)], [("w", (4,), 0, 16)]) + bytes(64))


def vocabulary(model, pre, tokens, types, *more):
    keys = [key("tokenizer.ggml.model", 8, model), key("tokenizer.ggml.tokens", 9, (8, tokens)),
            key("tokenizer.ggml.token_type", 9, (5, types))]
    return gguf(keys + ([key("tokenizer.ggml.pre", 8, pre)] if pre else []) + [
        key("tokenizer.ggml." + name, kind, value) for name, kind, value in more])


ITSELF = [*range(33, 127), *range(161, 173), *range(174, 256)]
OTHERS = [b for b in range(256) if b not in ITSELF]
BYTES = [chr(b if b in ITSELF else 256 + OTHERS.index(b)) for b in range(256)]
JOINED = ["th", "he", "the", "\u0120t", "\u0120the", "aa", "aaaa"]
MERGES = ("merges", 9, (8, ["t h", "h e", "th e", "t he", "\u0120 t", "\u0120 the", "\u0120t he", "a a", "aa aa"]))
put("gguf_tokenizer", "bytes", vocabulary("gpt2", "gpt-2", BYTES + JOINED + ["<s>", "  "], [1] * 263 + [3, 4], MERGES,
                                          ("bos_token_id", 4, 263)))
put("gguf_tokenizer", "llama3", vocabulary("gpt2", "llama-bpe", BYTES + JOINED + ["<s>"], [1] * 263 + [3], MERGES,
                                           ("bos_token_id", 4, 263), ("add_bos_token", 7, 1)))
put("gguf_tokenizer", "few", vocabulary("gpt2", "qwen2", ["a", "b", "ab", "c\u0301", "<e>"], [1, 1, 1, 1, 3],
                                        ("merges", 9, (8, ["a b"])), ("eos_token_id", 4, 4), ("add_eos_token", 7, 1)))
put("gguf_tokenizer", "digits", vocabulary("gpt2", "smollm", ["a", "1", "\u0120", "\u01201"], [1] * 4,
                                           ("merges", 9, (8, ["\u0120 1"]))))
put("gguf_tokenizer", "odd", vocabulary("gpt2", "gpt-4o", ["a", "", "a", "\u4e2d", "aa"], [1, 1, 1, 1, 6],
                                        ("merges", 9, (8, ["a a"]))))
put("gguf_tokenizer", "sentencepiece", vocabulary(
    "llama", None, ["<unk>", "<s>", "</s>", "\u2581"] + [f"<0x{i:02X}>" for i in range(256)] + ["a", "b", "\u2581a", "ab"],
    [2, 3, 3, 1] + [6] * 256 + [1] * 4, ("scores", 9, (6, [0] * 260 + [-1, -2, -3, -4])), ("bos_token_id", 4, 1)))
put("gguf_tokenizer", "unigram", vocabulary(
    "t5", None, ["<unk>", "</s>", "\u2581", "a", "b", "\u2581a", "ab"], [2, 3, 1, 1, 1, 1, 1],
    ("scores", 9, (6, [0, 0, -2, -3, -3, -2.5, -2.75])), ("eos_token_id", 4, 1), ("unknown_token_id", 4, 0)))


def llama2c(dim, hidden, layers, heads, kv, vocab, context):
    head = dim // heads
    n = abs(vocab) * dim * (2 if vocab < 0 else 1) + dim + context * (head // 2) * 2
    n += layers * (2 * dim + 2 * dim * dim + 2 * kv * head * dim + 3 * hidden * dim)
    return struct.pack("<7i", dim, hidden, layers, heads, kv, vocab, context) + bytes(4 * n)


put("llama2c", "tied", llama2c(4, 4, 2, 1, 1, 6, 16))
put("llama2c", "untied", llama2c(8, 4, 1, 2, 1, -5, 3))
put("llama2c", "huge", struct.pack("<7i", 2**30, 2**30, 2**30, 2**29, 1, 2**30, 2**30) + bytes(64))

CONFIG = {"model_type": "llama", "hidden_size": 64, "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "x": None}
for at, (name, value) in enumerate([
        ("config", CONFIG), ("generation", {"eos_token_id": [1, 2], "temperature": 0.6, "do_sample": True}),
        ("tokenizer", {"chat_template": [{"name": "default", "template": "{{ x }}"}, {"name": "tool_use"}]}),
        ("template", {"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"})]):
    put("folder", name, bytes([at]) + json.dumps(value).encode())
put("folder", "jinja", b"\x04{{ bos_token }}{{ messages[0]['content'] }}")
put("folder", "index", b"\x05" + json.dumps({"metadata": {"total_size": 4},
                                             "weight_map": {"w": "model.safetensors"}}).encode())
put("folder", "index_path", b"\x05" + json.dumps({"weight_map": {"w": "../../etc/passwd"}}).encode())
