# SPDX-License-Identifier: Apache-2.0
"""Makes a small model of every family with transformers, converts it with wazn to GGUF and back, and compares logits:
transformers on the folder that came back, llama.cpp on the GGUF, both against transformers on the first folder.

Usage: python tools/golden/convert_compare.py build/src/cli/wazn TOKENIZER.model
TOKENIZER.model: a SentencePiece model of at most 512 pieces. llama.cpp through the package llama-cpp-python; without it
its column is empty.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers as T

try:
    from llama_cpp import llama_cpp as llama
except ImportError:
    llama = None

VOCABULARY = 512
SIZES = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64, rope_theta=500000.0)
YARN = dict(rope_type="yarn", factor=32.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
            original_max_position_embeddings=8, rope_theta=150000.0)
FAMILIES = {
    "llama": lambda: T.LlamaConfig(**SIZES, rms_norm_eps=1e-5, tie_word_embeddings=False),
    "llama 3.1": lambda: T.LlamaConfig(**SIZES, rope_parameters=LLAMA3),
    "mistral": lambda: T.MistralConfig(**SIZES, sliding_window=None, head_dim=16),
    "mixtral": lambda: T.MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2),
    "qwen2": lambda: T.Qwen2Config(**SIZES, use_sliding_window=False),
    "qwen3": lambda: T.Qwen3Config(**SIZES, head_dim=32, tie_word_embeddings=True),
    "qwen3 moe": lambda: T.Qwen3MoeConfig(**SIZES, head_dim=32, num_experts=4, num_experts_per_tok=2,
                                          moe_intermediate_size=64, norm_topk_prob=True),
    "gemma2": lambda: T.Gemma2Config(**SIZES, head_dim=16, query_pre_attn_scalar=16, sliding_window=16),
    "gemma3": lambda: T.Gemma3TextConfig(**SIZES, head_dim=16, query_pre_attn_scalar=16, sliding_window=16),
    "gpt2": lambda: T.GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=4, n_head=4, n_positions=256, bos_token_id=1,
                                 eos_token_id=2),
    "gpt-oss": lambda: T.GptOssConfig(**SIZES | dict(intermediate_size=64), head_dim=32, num_local_experts=4,
                                      num_experts_per_tok=2, sliding_window=16, rope_parameters=YARN),
}


def make(family, folder):
    config = FAMILIES[family]()
    model = T.AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            gain = "norm" in name and "gemma" not in family and p.dim() == 1 and "bias" not in name
            p.copy_((torch.randn_like(p) * (0.2 if p.dim() < 2 else 0.15) + gain).bfloat16().float())
        if config.tie_word_embeddings:
            model.tie_weights()
    model.save_pretrained(folder)
    return model


def logits_of(model, ids):
    with torch.no_grad():
        return model(ids).logits[0].numpy()


def llama_logits(path, ids):
    model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
    p = llama.llama_context_default_params()
    p.n_ctx = p.n_batch = p.n_ubatch = 256
    p.type_k = p.type_v = p.flash_attn_type = 0  # keys and values in float32
    context = llama.llama_init_from_model(model, p)
    batch = llama.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
        batch.seq_id[i][0] = 0
    assert llama.llama_decode(context, batch) == 0
    return np.stack([np.ctypeslib.as_array(llama.llama_get_logits_ith(context, i), (VOCABULARY,)).copy()
                     for i in range(len(ids))])


def furthest(have, want):
    return f"{np.abs(have - want).max() / np.abs(want).max():.1e}"


def main():
    torch.manual_seed(0)
    ids = torch.randint(3, VOCABULARY, (1, 60))
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as temporary:
            first, gguf, back = (pathlib.Path(temporary) / name for name in ("first", "model.gguf", "back"))
            model = make(family, first)
            shutil.copy(sys.argv[2], first / "tokenizer.model")
            for source, target in ((first, gguf), (gguf, back)):
                subprocess.run([sys.argv[1], "convert", "-q", "-m", source, "-o", target], check=True)
            want = logits_of(model, ids)
            again = T.AutoModelForCausalLM.from_pretrained(back, dtype=torch.float32).eval()
            other = furthest(llama_logits(gguf, ids[0].tolist()), want) if llama else "-"
            print(f"{family:10} transformers {furthest(logits_of(again, ids), want)}  llama.cpp {other}")


main()
