# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/recipes.json: which format llama.cpp's quantizer gives each tensor of small models, for every
recipe that wazn has too. The models are written as GGUF here and quantized by llama.cpp's library.

Usage: python tools/golden/recipes.py FOLDER_OF_LIBLLAMA tests/golden/data/recipes.json [FOLDER]
FOLDER keeps the models and what became of them, for comparing bytes.
"""
import ctypes
import json
import pathlib
import sys
import tempfile

import numpy as np
from gguf import GGUFReader, GGUFWriter

# q2_k_s (21) is left out: llama.cpp makes it only with an importance matrix.
FTYPES = {"q2_k": 10, "q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_0": 2, "iq4_nl": 25, "q4_k_s": 14,
          "q4_k_m": 15, "q4_1": 3, "q5_0": 8, "q5_k_s": 16, "q5_k_m": 17, "q5_1": 9, "q6_k": 18, "q8_0": 7, "mxfp4": 38}
VOCABULARY = 64


class Parameters(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_int32), ("ftype", ctypes.c_int), ("output", ctypes.c_int),
                ("embedding", ctypes.c_int), ("allow_requantize", ctypes.c_bool), ("quantize_output", ctypes.c_bool),
                ("only_copy", ctypes.c_bool), ("pure", ctypes.c_bool), ("keep_split", ctypes.c_bool),
                ("dry_run", ctypes.c_bool), ("pointers", ctypes.c_void_p * 4)]


def load_library(folder):
    for name in ("libggml-base.so", "libggml-cpu.so", "libggml.so", "libllama.so"):
        library = ctypes.CDLL(str(pathlib.Path(folder) / name), mode=ctypes.RTLD_GLOBAL)
    library.llama_model_quantize_default_params.restype = Parameters
    library.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Parameters)]
    library.llama_backend_init()
    return library


def llama(layers, dim, heads, kv_heads, ffn, tied, experts=0):
    config = {"model_type": "mixtral" if experts else "llama", "hidden_size": dim, "num_hidden_layers": layers,
              "num_attention_heads": heads, "num_key_value_heads": kv_heads, "intermediate_size": ffn,
              "vocab_size": VOCABULARY, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "tie_word_embeddings": tied, "hidden_act": "silu"}
    if experts:
        config |= {"num_local_experts": experts, "num_experts_per_tok": 2}
    return config


CASES = {
    "grouped": llama(18, 256, 8, 2, 512, False),
    "tied": llama(11, 256, 4, 4, 256, True),
    "mixtral": llama(8, 256, 8, 2, 256, False, experts=8),
    "experts_4": llama(8, 256, 8, 4, 256, True, experts=4),
    "odd_rows": llama(8, 288, 9, 3, 96, False),
    "gpt2": {"model_type": "gpt2", "n_embd": 256, "n_layer": 9, "n_head": 4, "n_positions": 128, "n_inner": 512,
             "vocab_size": VOCABULARY, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new",
             "tie_word_embeddings": True},
}


def llama_tensors(c):
    dim, ffn, kv = c["hidden_size"], c["intermediate_size"], c["num_key_value_heads"]
    kv_dim, experts = dim // c["num_attention_heads"] * kv, c.get("num_local_experts", 0)
    out = {"token_embd.weight": (VOCABULARY, dim), "output_norm.weight": (dim,)}
    if not c["tie_word_embeddings"]:
        out["output.weight"] = (VOCABULARY, dim)
    for i in range(c["num_hidden_layers"]):
        layer = {"attn_norm": (dim,), "attn_q": (dim, dim), "attn_k": (kv_dim, dim), "attn_v": (kv_dim, dim),
                 "attn_output": (dim, dim), "ffn_norm": (dim,)}
        if experts:
            layer |= {"ffn_gate_inp": (experts, dim), "ffn_gate_exps": (experts, ffn, dim),
                      "ffn_up_exps": (experts, ffn, dim), "ffn_down_exps": (experts, dim, ffn)}
        else:
            layer |= {"ffn_gate": (ffn, dim), "ffn_up": (ffn, dim), "ffn_down": (dim, ffn)}
        out |= {f"blk.{i}.{name}.weight": shape for name, shape in layer.items()}
    return out


def gpt2_tensors(c):
    dim, ffn = c["n_embd"], c["n_inner"]
    out = {"token_embd.weight": (VOCABULARY, dim), "position_embd.weight": (c["n_positions"], dim),
           "output_norm.weight": (dim,), "output_norm.bias": (dim,)}
    for i in range(c["n_layer"]):
        layer = {"attn_norm": (dim,), "attn_qkv": (3 * dim, dim), "attn_output": (dim, dim), "ffn_norm": (dim,),
                 "ffn_up": (ffn, dim), "ffn_down": (dim, ffn)}
        for name, shape in layer.items():
            out[f"blk.{i}.{name}.weight"] = shape
            out[f"blk.{i}.{name}.bias"] = shape[:1]
    return out


def tensors_of(c):
    return gpt2_tensors(c) if c["model_type"] == "gpt2" else llama_tensors(c)


def write_keys(w, c):
    gpt2 = c["model_type"] == "gpt2"
    w.add_context_length(c["n_positions" if gpt2 else "max_position_embeddings"])
    w.add_embedding_length(c["n_embd" if gpt2 else "hidden_size"])
    w.add_block_count(c["n_layer" if gpt2 else "num_hidden_layers"])
    w.add_feed_forward_length(c["n_inner" if gpt2 else "intermediate_size"])
    w.add_head_count(c["n_head" if gpt2 else "num_attention_heads"])
    if gpt2:
        w.add_layer_norm_eps(c["layer_norm_epsilon"])
    else:
        w.add_head_count_kv(c["num_key_value_heads"])
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
        w.add_rope_freq_base(c["rope_theta"])
        w.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"])
        w.add_vocab_size(VOCABULARY)
    if "num_local_experts" in c:
        w.add_expert_count(c["num_local_experts"])
        w.add_expert_used_count(c["num_experts_per_tok"])
    w.add_tokenizer_model("llama")
    w.add_token_list(["<unk>", "<s>", "</s>"] + [chr(ord("0") + i) for i in range(VOCABULARY - 3)])
    w.add_token_scores([-float(i) for i in range(VOCABULARY)])
    w.add_token_types([2, 3, 3] + [1] * (VOCABULARY - 3))


def write_model(path, c, rng):
    w = GGUFWriter(path, "gpt2" if c["model_type"] == "gpt2" else "llama")
    write_keys(w, c)
    for name, shape in tensors_of(c).items():
        w.add_tensor(name, (rng.standard_normal(shape) * rng.uniform(0.01, 0.1)).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def quantize(library, source, target, ftype):
    p = library.llama_model_quantize_default_params()
    p.ftype = ftype
    if library.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(p)) != 0:
        raise RuntimeError(f"llama.cpp could not quantize {source} to {ftype}")
    return {t.name: t.tensor_type.name.lower() for t in GGUFReader(target).tensors}


def main():
    library = load_library(sys.argv[1])
    rng = np.random.default_rng(8)
    golden = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else temporary)
        for name, config in CASES.items():
            source = folder / f"{name}.gguf"
            write_model(source, config, rng)
            case = {"name": name, "config": config, "tensors": tensors_of(config), "types": {}}
            for recipe, ftype in FTYPES.items():
                if recipe == "mxfp4" and "num_local_experts" not in config:
                    continue  # there llama.cpp writes no MXFP4 at all
                types = quantize(library, source, folder / f"{name}-{recipe}.gguf", ftype)
                case["types"][recipe] = " ".join(types[n] for n in case["tensors"])
            golden.append(case)
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in golden) + "\n]\n")


main()
