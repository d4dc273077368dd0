# SPDX-License-Identifier: Apache-2.0
"""Tiny models of every family, run by transformers in float32: what tests/golden/test_models.c compares with.

    python tools/golden/models.py [CASE ...]

Writes tests/golden/data/models/CASE.json: the config.json as it stands in the folder, the tensors (name, shape,
exponent, base), the token ids and, at a few positions, the logits with the sum of absolute products behind each of
them. Weights are not stored: weight(name)[i] = base + k 2^-exponent with k in -127 .. 127 from a generator both sides
have, so every value is exact in bfloat16 and the C side can write the same model itself. Shapes are odd on purpose.
"""
import json
import math
import pathlib
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForCausalLM

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/data/models"
POSITIONS = [0, 11, 39]
LENGTH = 40


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def splitmix(seed, n):
    """n outputs of splitmix64 from `seed`."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def weight(name, shape, exponent, base):
    k = (splitmix(fnv1a(name), math.prod(shape)) >> np.uint64(32)) % np.uint64(255)
    return (base + (k.astype(np.float64) - 127) * 2.0**-exponent).astype(np.float32).reshape(shape)


def scale_of(name, shape, gemma):
    """(exponent, base): gains around 1, matrices that keep the size of what they multiply, sharp routers."""
    if "norm" in name or ".ln_" in name or "ln_f" in name:
        return (9, 0.0) if gemma or name.endswith("bias") else (7, 1.0)
    if name.endswith("bias"):
        return 9, 0.0
    if "embed" in name or "wte" in name or "wpe" in name or name.endswith(".gate.weight"):
        return 7, 0.0
    fan_in = shape[0] if ".c_" in name else shape[-1]
    return round(math.log2(73.3 * math.sqrt(fan_in) / 1.2)), 0.0


def llama(**changes):
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 48, "intermediate_size": 70,
              "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "vocab_size": 113,
              "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0,
              "tie_word_embeddings": False}
    config.update(changes)
    return {k: v for k, v in config.items() if v != "absent"}


def family(model_type, class_name, **changes):
    return llama(model_type=model_type, architectures=[class_name], **changes)


def gpt2(**changes):
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 42, "n_layer": 2, "n_head": 3,
              "n_positions": 50, "vocab_size": 109, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
    config.update(changes)
    return config


def mixtral(**changes):
    return family("mixtral", "MixtralForCausalLM", num_hidden_layers=2, num_local_experts=5, num_experts_per_tok=2,
                  sliding_window=None, intermediate_size=36, **changes)


def qwen3_moe(**changes):
    config = dict(head_dim=10, num_experts=7, num_experts_per_tok=3, moe_intermediate_size=22, intermediate_size=50,
                  norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])
    config.update(changes)
    return family("qwen3_moe", "Qwen3MoeForCausalLM", **config)


def gemma2(**changes):
    config = dict(head_dim=10, hidden_act="absent", hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=7,
                  sliding_window=9, attn_logit_softcapping=3.0, final_logit_softcapping=5.0, tie_word_embeddings=True)
    config.update(changes)
    return family("gemma2", "Gemma2ForCausalLM", **config)


def gemma3(**changes):
    config = dict(head_dim=14, hidden_act="absent", hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=11,
                  sliding_window=5, num_hidden_layers=7, rope_theta=1000000.0, rope_local_base_freq=100.0,
                  tie_word_embeddings=True)
    config.update(changes)
    return family("gemma3_text", "Gemma3ForCausalLM", **config)


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}

CASES = {
    "gpt2_tied": (gpt2(), {}),
    "gpt2_untied": (gpt2(n_inner=53, tie_word_embeddings=False, n_layer=3, n_head=7), {}),
    "llama_plain": (llama(num_key_value_heads=6), {}),
    "llama_grouped": (llama(head_dim=10, tie_word_embeddings=True), {}),
    "llama_biases": (llama(head_dim=12, attention_bias=True, mlp_bias=True), {}),
    "llama_llama3": (llama(rope_scaling=LLAMA3, num_key_value_heads=3, head_dim=16), {}),
    "llama_linear": (llama(rope_scaling={"type": "linear", "factor": 3.0}), {}),
    "llama_yarn": (llama(rope_scaling=YARN, head_dim=20), {}),
    "llama_yarn_exact": (llama(rope_theta="absent", head_dim=20, rope_parameters=dict(
        YARN, rope_type="yarn", rope_theta=500.0, truncate=False, attention_factor=1.3, beta_fast=16,
        beta_slow=2)), {}),
    "llama_head32": (llama(head_dim=32, num_attention_heads=3, num_key_value_heads=1), {}),
    "llama_sharded": (llama(num_hidden_layers=4), {"shards": 3}),
    "llama_bf16": (llama(), {"dtype": "BF16"}),
    "mistral_window": (family("mistral", "MistralForCausalLM", sliding_window=7, head_dim=32, num_attention_heads=3,
                              num_key_value_heads=1), {}),
    "mistral_full": (family("mistral", "MistralForCausalLM", sliding_window=None, head_dim=10), {}),
    "mixtral": (mixtral(), {}),
    "mixtral_window": (mixtral(head_dim=14, num_key_value_heads=3) | {"sliding_window": 6}, {}),
    "qwen2": (family("qwen2", "Qwen2ForCausalLM", use_sliding_window=False, sliding_window=4, max_window_layers=1), {}),
    "qwen2_window": (family("qwen2", "Qwen2ForCausalLM", use_sliding_window=True, sliding_window=6,
                            max_window_layers=1, tie_word_embeddings=True), {}),
    "qwen3": (family("qwen3", "Qwen3ForCausalLM", head_dim=14, attention_bias=False, sliding_window=None), {}),
    "qwen3_yarn": (family("qwen3", "Qwen3ForCausalLM", head_dim=32, tie_word_embeddings=True, attention_bias=True,
                          rope_scaling=dict(YARN, rope_type="yarn"),
                          layer_types=["full_attention", "sliding_attention", "full_attention"],
                          use_sliding_window=True, sliding_window=8), {}),
    "qwen3_moe": (qwen3_moe(), {}),
    "qwen3_moe_mixed": (qwen3_moe(norm_topk_prob=False, decoder_sparse_step=2, num_hidden_layers=4,
                                  mlp_only_layers=[3], num_key_value_heads=6), {}),
    "gemma2": (gemma2(), {}),
    "gemma2_head32": (gemma2(head_dim=32, num_attention_heads=3, num_key_value_heads=1, num_hidden_layers=4,
                             final_logit_softcapping=None, attn_logit_softcapping=None), {}),
    "gemma3": (gemma3(), {}),
    "gemma3_nested": (gemma3(num_hidden_layers=3, rope_theta="absent", rope_local_base_freq="absent",
                             num_key_value_heads=3, rope_parameters={
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 77.0}},
        layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
        {"prefix": ["model.", "model.language_model."]}),
}


def tensors_of(config, folder):
    """Names and shapes as save_pretrained writes them."""
    (folder / "config.json").write_text(json.dumps(config))
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    model.save_pretrained(folder / "shape")
    from safetensors import safe_open
    with safe_open(folder / "shape/model.safetensors", "np") as f:
        return {name: f.get_slice(name).get_shape() for name in f.keys()}


def run(config, weights, ids, folder):
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                 experts_implementation="eager").eval()
    seen = {}
    model.lm_head.register_forward_pre_hook(lambda _, args: seen.update(x=args[0]))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    sums = seen["x"][0].abs() @ model.lm_head.weight.abs().T
    return logits.numpy(), sums.detach().numpy()


def numbers(row, digits):
    return [float(f"%.{digits}g" % x) for x in row.tolist()]


def make(name, config, options):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        table = [[tensor, list(shape), *scale_of(tensor, shape, config["model_type"].startswith("gemma"))]
                 for tensor, shape in sorted(tensors_of(config, folder).items())]
        ids = (splitmix(fnv1a(name), LENGTH) % np.uint64(config["vocab_size"])).tolist()
        logits, sums = run(config, {t[0]: weight(*t) for t in table}, ids, folder)
    assert np.isfinite(logits).all()
    if options.get("prefix"):
        config = {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": config}
    case = {"config": config, **options, "tensors": table, "ids": ids,
            "rows": [{"position": p, "logits": numbers(logits[p], 9), "sums": numbers(sums[p], 4)} for p in POSITIONS]}
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in case.items() if k not in ("tensors", "rows")]
    for key in ("tensors", "rows"):
        lines.append(f'"{key}": [\n' + ",\n".join(json.dumps(v) for v in case[key]) + "\n]")
    (OUT / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{name}: {len(table)} tensors, logits {logits.min():.3g} .. {logits.max():.3g}")


def main():
    torch.manual_seed(0)
    OUT.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or CASES:
        make(name, *CASES[name])


if __name__ == "__main__":
    main()
