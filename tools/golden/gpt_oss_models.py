# SPDX-License-Identifier: Apache-2.0
"""Tiny gpt-oss models, run by OpenAI's torch model, by transformers and by plain float64 sums.

    python tools/golden/gpt_oss_models.py [CASE ...]

Writes tests/golden/data/models/gpt_oss*.json (unquantized: models.py tells the form) and, of models whose experts are
MXFP4, tests/golden/data/gpt_oss/*.json. "rows" are OpenAI's logits in float32, "rows_transformers" those of
transformers, "rows_exact" those of the formulas in float64, written down below a second time; "layers" is the residual
stream behind every layer at two positions (behind the window, and the last one) from all three: "openai",
"transformers", "exact", with the sum of the sizes of all that was added up in it. Needs the package gpt-oss.

MXFP4 weights: weight(name) of an entry marked "mxfp4" (experts, in, out) is E2M1[z % 16] 2^(s - exponent), where s in
0 .. 2 belongs to the 32 values along `in` that share a scale and the first of them is +-6, so that the scale can be told
from the values. "packed" has the FNV-1a hashes of the bytes that OpenAI's and transformers' own readers turned back into
these values.
"""
import json
import math
import pathlib
import sys
import tempfile

import numpy as np
import torch
from gpt_oss.torch import model as openai
from gpt_oss.torch.weights import Checkpoint
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from models import OUT, fnv1a, numbers, splitmix, weight
from trace import decoder_layers, recorded

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
UNIT = 2.0**-24


def base(**changes):
    config = {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "hidden_size": 52,
              "intermediate_size": 36, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2,
              "head_dim": 20, "vocab_size": 113, "num_local_experts": 5, "num_experts_per_tok": 3,
              "sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"] * 2,
              "max_position_embeddings": 256, "initial_context_length": 64, "rope_theta": 500.0,
              "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 2.0, "beta_slow": 1.0,
                               "original_max_position_embeddings": 64, "truncate": False},
              "swiglu_limit": 7.0, "rms_norm_eps": 1e-5, "hidden_act": "silu", "attention_bias": True,
              "tie_word_embeddings": False}
    config.update(changes)
    return {k: v for k, v in config.items() if v != "absent"}


FULL = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
        "original_max_position_embeddings": 4096, "truncate": False, "rope_theta": 150000.0}
NEW = dict(rope_theta="absent", rope_scaling="absent", rope_parameters=FULL, initial_context_length=4096,
           max_position_embeddings=131072)
QUANTIZED = {"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}}
CASES = {
    "gpt_oss": (base(), {}),
    "gpt_oss_parameters": (base(head_dim=64, num_attention_heads=4, num_key_value_heads=1, num_hidden_layers=2,
                                layer_types="absent", sliding_window=16, **NEW), {}),
    "gpt_oss_clamped": (base(num_hidden_layers=2, layer_types="absent", num_key_value_heads=6, head_dim=32,
                             **NEW), {"loud": 4}),
    "gpt_oss_ties": (base(num_hidden_layers=2, layer_types="absent", num_local_experts=7, hidden_size=48), {"ties": 1}),
    "mxfp4": (base(hidden_size=64, intermediate_size=96, **QUANTIZED), {"mxfp4": True}),
    "mxfp4_all": (base(hidden_size=96, intermediate_size=32, num_local_experts=4, num_experts_per_tok=4, head_dim=64,
                        num_hidden_layers=3, layer_types="absent", **NEW, **QUANTIZED),
                   {"mxfp4": True}),
    "mxfp4_long": (base(hidden_size=64, intermediate_size=32, head_dim=64, num_attention_heads=4,
                        num_key_value_heads=2, num_hidden_layers=2, layer_types="absent", **NEW, **QUANTIZED) |
                   {"sliding_window": 128}, {"mxfp4": True, "length": 4250}),
}
POSITIONS = {40: [0, 11, 39], 4250: [127, 128, 129, 4095, 4096, 4249]}
LAYER_POSITIONS = {40: [11, 39], 4250: [129, 4249]}


def shapes(c):
    d, f, e = c["hidden_size"], c["intermediate_size"], c["num_local_experts"]
    q, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    out = {"model.embed_tokens.weight": (c["vocab_size"], d), "lm_head.weight": (c["vocab_size"], d),
           "model.norm.weight": (d,)}
    for n in range(c["num_hidden_layers"]):
        p = f"model.layers.{n}."
        out |= {p + "input_layernorm.weight": (d,), p + "post_attention_layernorm.weight": (d,),
                p + "self_attn.q_proj.weight": (q, d), p + "self_attn.q_proj.bias": (q,),
                p + "self_attn.k_proj.weight": (kv, d), p + "self_attn.k_proj.bias": (kv,),
                p + "self_attn.v_proj.weight": (kv, d), p + "self_attn.v_proj.bias": (kv,),
                p + "self_attn.o_proj.weight": (d, q), p + "self_attn.o_proj.bias": (d,),
                p + "self_attn.sinks": (c["num_attention_heads"],),
                p + "mlp.router.weight": (e, d), p + "mlp.router.bias": (e,),
                p + "mlp.experts.gate_up_proj": (e, d, 2 * f), p + "mlp.experts.gate_up_proj_bias": (e, 2 * f),
                p + "mlp.experts.down_proj": (e, f, d), p + "mlp.experts.down_proj_bias": (e, d)}
    return out


def entry(name, shape, options):
    """[name, shape, exponent, base] and a mark: "mxfp4", or "tied" of a router whose rows come in equal pairs."""
    loud = options.get("loud", 1) if "gate_up_proj" in name else 1  # makes clamps act
    if "norm" in name:
        return [name, list(shape), 7, 1.0]
    if "sinks" in name:
        return [name, list(shape), 6, 0.0]
    if name.endswith("bias"):
        mark = ["tied"] if options.get("ties") and "router" in name else []
        return [name, list(shape), 8 if loud == 1 else 5, 0.0, *mark]
    if "router" in name:
        return [name, list(shape), 8, 0.0, *(["tied"] if options.get("ties") else [])]
    if "embed" in name:
        return [name, list(shape), 6, 0.0]
    fan_in = shape[1] if len(shape) == 3 else shape[-1]
    if "experts" in name and options.get("mxfp4"):
        return [name, list(shape), round(math.log2(2.93 * 2 * math.sqrt(fan_in) / loud)), 0.0, "mxfp4"]
    return [name, list(shape), round(math.log2(73.3 * math.sqrt(fan_in) / 1.2 / loud)), 0.0]


def mxfp4_parts(name, shape, exponent):
    """Nibbles (experts, out, in) and exponents (experts, out, in / 32)."""
    experts, fan_in, out = shape
    nibbles = (splitmix(fnv1a(name), math.prod(shape)) >> np.uint64(32)) % np.uint64(16)
    nibbles = nibbles.astype(np.int64).reshape(experts, out, fan_in)
    nibbles[..., ::32] = 7 | nibbles[..., ::32] & 8
    nibbles[nibbles == 8] = 0  # there is one zero
    s = (splitmix(fnv1a(name + ".scales"), math.prod(shape) // 32) >> np.uint64(32)) % np.uint64(3)
    return nibbles, s.astype(np.int64).reshape(experts, out, fan_in // 32) - exponent


def make_weight(e):
    name, shape, exponent, offset, mark = (*e, None)[:5]
    if mark == "mxfp4":
        nibbles, s = mxfp4_parts(name, shape, exponent)
        values = E2M1[nibbles] * 2.0**np.repeat(s, 32, axis=-1)
        return np.ascontiguousarray(values.transpose(0, 2, 1)).astype(np.float32)
    w = weight(name, shape, exponent, offset)
    return w[np.arange(shape[0]) // 2 * 2] if mark == "tied" else w


def pack(e):
    nibbles, s = mxfp4_parts(*e[:3])
    blocks = (nibbles[..., ::2] | nibbles[..., 1::2] << 4).astype(np.uint8)
    return blocks.reshape(*s.shape, 16), (s + 127).astype(np.uint8)


# The formulas, in float64. Sizes are the same sums over absolute values.

class Exact:
    def __init__(self, config, w):
        self.c, self.w = config, {k: v.astype(np.float64) for k, v in w.items()}
        self.clamped = {"gate": 0, "above": 0, "below": 0}
        self.ties = 0

    def norm(self, x, gain):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.c["rms_norm_eps"]) * self.w[gain]

    def turn(self, x):
        c = self.c
        rope = c.get("rope_parameters", c.get("rope_scaling"))
        theta, half = rope.get("rope_theta", c.get("rope_theta")), c["head_dim"] // 2
        context = rope["original_max_position_embeddings"]
        low, high = (half * math.log(context / (rope[b] * 2 * math.pi)) / math.log(theta)
                     for b in ("beta_fast", "beta_slow"))
        ramp = np.clip((np.arange(half) - low) / (high - low), 0, 1)
        inverse = theta ** (-np.arange(half) / half) * (1 - ramp + ramp / rope["factor"])
        angle = np.arange(len(x))[:, None, None] * inverse
        magnitude = 0.1 * math.log(rope["factor"]) + 1
        cos, sin, a, b = np.cos(angle) * magnitude, np.sin(angle) * magnitude, x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def attention(self, p, x, window):
        c, w, n = self.c, self.w, len(x)

        def heads(kind):
            return (x @ w[p + f"{kind}_proj.weight"].T + w[p + f"{kind}_proj.bias"]).reshape(n, -1, c["head_dim"])
        q, k, v = self.turn(heads("q")), self.turn(heads("k")), heads("v")
        group, out = q.shape[1] // k.shape[1], np.empty_like(q)
        distance = np.arange(n)[:, None] - np.arange(n)
        hidden = (distance < 0) | (distance >= window)
        for h in range(q.shape[1]):
            s = np.where(hidden, -np.inf, q[:, h] @ k[:, h // group].T * c["head_dim"] ** -0.5)
            sink = w[p + "sinks"][h]
            most = np.maximum(s.max(-1, keepdims=True), sink)
            e = np.exp(s - most)
            out[:, h] = e @ v[:, h // group] / (e.sum(-1, keepdims=True) + np.exp(sink - most))
        return self.add(out.reshape(n, -1), w[p + "o_proj.weight"].T, w[p + "o_proj.bias"])

    @staticmethod
    def add(x, matrix, bias):
        return x @ matrix + bias, abs(x) @ abs(matrix) + abs(bias)

    def experts(self, p, x):
        c, w = self.c, self.w
        logits = x @ w[p + "router.weight"].T + w[p + "router.bias"]
        order = np.argsort(-logits, axis=-1, kind="stable")
        used = c["num_experts_per_tok"]
        ranked = np.take_along_axis(logits, order, -1)
        if used < logits.shape[-1]:
            self.ties += (ranked[:, used - 1] == ranked[:, used]).sum()
        e = np.exp(ranked[:, :used] - ranked[:, :1])
        weights, y, size = e / e.sum(-1, keepdims=True), np.zeros_like(x), np.zeros_like(x)
        for expert in range(logits.shape[-1]):
            token, choice = np.where(order[:, :used] == expert)
            both = x[token] @ w[p + "experts.gate_up_proj"][expert] + w[p + "experts.gate_up_proj_bias"][expert]
            gate, up, limit = both[:, ::2], both[:, 1::2], c["swiglu_limit"]
            for name, cut in ("gate", gate > limit), ("above", up > limit), ("below", up < -limit):
                self.clamped[name] += int(cut.sum())
            gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
            act = gate / (1 + np.exp(-1.702 * gate)) * (up + 1)
            part, part_size = self.add(act, w[p + "experts.down_proj"][expert], w[p + "experts.down_proj_bias"][expert])
            y[token] += weights[token, choice, None] * part
            size[token] += weights[token, choice, None] * part_size
        return y, size

    def run(self, ids):
        x = self.w["model.embed_tokens.weight"][ids]
        size, layers = abs(x), []
        for n in range(self.c["num_hidden_layers"]):
            p = f"model.layers.{n}."
            window = self.c["sliding_window"] if n % 2 == 0 else len(ids)
            y, s = self.attention(p + "self_attn.", self.norm(x, p + "input_layernorm.weight"), window)
            x, size = x + y, size + s
            y, s = self.experts(p + "mlp.", self.norm(x, p + "post_attention_layernorm.weight"))
            x, size = x + y, size + s
            layers.append((x, size))
        x = self.norm(x, "model.norm.weight")
        return x @ self.w["lm_head.weight"].T, abs(x) @ abs(self.w["lm_head.weight"]).T, layers


def original_names(w):
    """OpenAI's names and shapes."""
    out = {"embedding.weight": w["model.embed_tokens.weight"], "norm.scale": w["model.norm.weight"],
           "unembedding.weight": w["lm_head.weight"]}
    for n in range(sum(".sinks" in name for name in w)):
        a, m, p = f"model.layers.{n}.self_attn.", f"model.layers.{n}.mlp.", f"block.{n}."
        for kind in "weight", "bias":
            out[p + "attn.qkv." + kind] = np.concatenate([w[a + f"{x}_proj.{kind}"] for x in "qkv"])
            out[p + "attn.out." + kind] = w[a + "o_proj." + kind]
            out[p + "mlp.gate." + kind] = w[m + "router." + kind]
        out[p + "attn.norm.scale"] = w[f"model.layers.{n}.input_layernorm.weight"]
        out[p + "mlp.norm.scale"] = w[f"model.layers.{n}.post_attention_layernorm.weight"]
        out[p + "attn.sinks"] = w[a + "sinks"]
        for i, name in (1, "gate_up_proj"), (2, "down_proj"):
            out[p + f"mlp.mlp{i}_weight"] = np.ascontiguousarray(w[m + "experts." + name].transpose(0, 2, 1))
            out[p + f"mlp.mlp{i}_bias"] = w[m + f"experts.{name}_bias"]
    return out


def original_config(c):
    rope = c.get("rope_parameters", c.get("rope_scaling"))
    same = ("num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size", "swiglu_limit", "head_dim",
            "num_attention_heads", "num_key_value_heads", "sliding_window", "initial_context_length")
    return {k: c[k] for k in same} | {
        "num_experts": c["num_local_experts"], "experts_per_token": c["num_experts_per_tok"],
        "rope_theta": rope.get("rope_theta", c.get("rope_theta")), "rope_scaling_factor": rope["factor"],
        "rope_ntk_alpha": rope["beta_slow"], "rope_ntk_beta": rope["beta_fast"]}


def stable_topk(x, k, dim=-1, sorted=True):
    """torch does not say which of equal values it takes; the rule is the lower index."""
    values, indices = torch.sort(x, dim=dim, descending=True, stable=True)
    return torch.return_types.topk((values[..., :k], indices[..., :k]))


def run_openai(c, w, ids):
    model = openai.Transformer(openai.ModelConfig(**original_config(c)), device="cpu").float().eval()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in original_names(w).items()})
    with torch.no_grad(), recorded(model.block) as states:
        return model(torch.tensor(ids)).numpy(), states[1:]


def run_transformers(c, w, ids):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        plain = {k: v for k, v in c.items() if k != "quantization_config"}
        (folder / "config.json").write_text(json.dumps(plain))
        save_file(w, folder / "model.safetensors", metadata={"format": "pt"})
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                     experts_implementation="eager").eval()
        with torch.no_grad(), recorded(decoder_layers(model, c["num_hidden_layers"])) as states:
            return model(torch.tensor([ids])).logits[0].numpy(), [x[0] for x in states[1:]]


def check_packed(table, w):
    """Both readers of MXFP4 get our values from our bytes; the hashes of the bytes."""
    hashes, tensors = {}, {}
    for e in table:
        if e[-1] != "mxfp4":
            continue
        blocks, scales = pack(e)
        for kind, data in ("blocks", blocks), ("scales", scales):
            h = 0xCBF29CE484222325
            for byte in data.tobytes():
                h = (h ^ byte) * 0x100000001B3 % 2**64
            hashes[f"{e[0]}_{kind}"] = f"{h:016x}"
        n, which = e[0].split(".")[2], 1 if "gate_up" in e[0] else 2
        tensors[f"block.{n}.mlp.mlp{which}_weight.blocks"] = blocks
        tensors[f"block.{n}.mlp.mlp{which}_weight.scales"] = scales
        theirs = convert_moe_packed_tensors(torch.from_numpy(blocks), torch.from_numpy(scales), dtype=torch.float32)
        assert (theirs.numpy() == w[e[0]]).all(), e[0]
    with tempfile.TemporaryDirectory() as path:
        save_file(tensors, pathlib.Path(path) / "model.safetensors")
        checkpoint, own = Checkpoint(path, torch.device("cpu")), original_names(w)
        for name in {t.rsplit(".", 1)[0] for t in tensors}:
            assert (checkpoint.get(name).float().numpy() == own[name]).all(), name
    return hashes


def rows_of(logits, sums, positions):
    return [{"position": p, "logits": numbers(logits[p], 9), "sums": numbers(sums[p], 4)} for p in positions]


def make(name, config, options):
    length = options.get("length", 40)
    positions = POSITIONS[length]
    table = [entry(tensor, shape, options) for tensor, shape in sorted(shapes(config).items())]
    ids = (splitmix(fnv1a(name), length) % np.uint64(config["vocab_size"])).tolist()
    w = {e[0]: make_weight(e) for e in table}
    exact = Exact(config, w)
    logits, sums, layers = exact.run(ids)
    theirs = {"openai": run_openai(config, w, ids), "transformers": run_transformers(config, w, ids)}
    states = {k: v[1] for k, v in theirs.items()}
    theirs = {k: v[0] for k, v in theirs.items()}
    worst = {k: (abs(v - logits) / sums / UNIT).max() for k, v in theirs.items()}
    worst_layers = {k: [round((abs(x[n] - layers[n][0]) / layers[n][1] / UNIT).max(), 1) for n in range(len(layers))]
                    for k, x in states.items()}
    print(f"{name}: worst difference to float64 in units: {worst}, clamped {exact.clamped}, ties {exact.ties}, "
          f"logits {logits.min():.3g} .. {logits.max():.3g}, behind layers {worst_layers}")
    for p in positions:  # what tests/golden/compare.c allows
        allowed = 6 * (len(layers) + 1) + 0.25 * p * len(layers)
        assert all((abs(v - logits)[p] / sums[p] / UNIT).max() < allowed for v in theirs.values()), (name, p)
    assert bool(options.get("ties")) == bool(exact.ties)
    assert min(exact.clamped.values()) > 0 or not options.get("loud")
    case = {"config": config, **({"length": length} if "length" in options else {"ids": ids}),
            "original_config": original_config(config)}
    if options.get("mxfp4"):
        case["packed"] = check_packed(table, w)
    case["tensors"] = table
    case["rows"] = rows_of(theirs["openai"], sums, positions)
    case["rows_transformers"] = rows_of(theirs["transformers"], sums, positions)
    case["rows_exact"] = rows_of(logits, sums, positions)
    case["layers"] = [{"layer": n, "position": p, "exact": numbers(x[p], 9), "sums": numbers(size[p], 4),
                       **{k: numbers(v[n][p], 9) for k, v in states.items()}}
                      for n, (x, size) in enumerate(layers) for p in LAYER_POSITIONS[length]]
    lists = ("tensors", "rows", "rows_transformers", "rows_exact", "layers")
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in case.items() if k not in lists]
    for key in lists:
        lines.append(f'"{key}": [\n' + ",\n".join(json.dumps(v) for v in case[key]) + "\n]")
    folder = OUT if name.startswith("gpt_oss") else OUT.parent / "gpt_oss"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    torch.topk = stable_topk
    for name in sys.argv[1:] or CASES:
        make(name, *CASES[name])


if __name__ == "__main__":
    main()
