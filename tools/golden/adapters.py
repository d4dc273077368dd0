# SPDX-License-Identifier: Apache-2.0
"""Adapters of the tiny models, by PEFT: what tests/golden/test_adapters.c compares with.

    python tools/golden/adapters.py [CASE ...]
    python tools/golden/adapters.py --check BASE ADAPTER LOGITS.safetensors --tokens 1,2,3

Writes tests/golden/data/adapters/CASE.json: the name of the base (models.py), adapter_config.json as PEFT wrote it, the
adapter's tensors as [name, shape, exponent, base] of models.py's generator, the loss and the gradients of all of them in
float64 with the errors of float32 as gradients.py has them, and logits in float32 and float64 as models.py has them.

--check opens a folder that wazn wrote in PEFT, beside its base, and says how far the logits are from those of
`wazn logits -m BASE --adapter ADAPTER --kv f32 --tokens ...`.
"""
import json
import pathlib
import sys
import tempfile
import warnings

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

import gpt_oss_models
from gradients import all_double, double_rope, entry, number, open_model, read_case, scaled_error, texts_of, token_losses
from models import OUT, POSITIONS, numbers, weight

FOLDER = OUT.parent / "adapters"
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]

CASES = {
    "lora": ("llama_grouped", dict(r=5, lora_alpha=7, target_modules=ATTENTION + MLP)),
    "some": ("llama_biases", dict(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True)),
    "patterns": ("qwen3", dict(r=4, lora_alpha=8, target_modules=ATTENTION + MLP, use_rslora=True,
                               rank_pattern={"q_proj": 7, r"^model\.layers\.1\..*down_proj": 1},
                               alpha_pattern={r"layers\.2\.self_attn\.v_proj": 3.5})),
    "magnitudes": ("llama_biases", dict(r=3, lora_alpha=5, target_modules=ATTENTION + MLP, use_dora=True)),
    "upper": ("qwen3", dict(r=2, lora_alpha=4, target_modules=r"model\.layers\.2\..*(q|up)_proj")),
    "fused": ("gpt2_tied", dict(r=5, lora_alpha=9, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)),
    "fused_magnitudes": ("gpt2_untied", dict(r=3, lora_alpha=4, target_modules=["c_attn", "mlp.c_proj"], use_dora=True,
                                             fan_in_fan_out=True)),
    "experts_turned": ("gpt_oss", dict(r=3, lora_alpha=5, target_modules=["q_proj", "o_proj"], target_parameters=EXPERTS,
                                       rank_pattern={"gate_up_proj": 5})),
    "experts": ("mixtral", dict(r=3, lora_alpha=5, target_modules=["k_proj"], target_parameters=EXPERTS)),
    "experts_down": ("mixtral", dict(r=2, lora_alpha=5, target_modules=[], target_parameters=EXPERTS[1:])),
    "experts_mixed": ("qwen3_moe_mixed", dict(r=2, lora_alpha=5, target_modules=["v_proj"],
                                              target_parameters=EXPERTS)),
}

# Written before transformers 5 held experts in stacks: PEFT turns such folders into its own form as it reads them, so
# their gradients have no names to compare by.
EACH = {"experts_each": ("mixtral", dict(r=2, lora_alpha=5, target_modules=["q_proj", "w1", "w2", "w3"]))}


def scale_of(name):
    return (7, 1.0) if "magnitude" in name else (9, 0.0) if "lora_A" in name else (10, 0.0)


def saved(model, values=None):
    """The adapter's tensors under the names PEFT saves them by; `values` instead of its own where given."""
    state = model.state_dict()
    if values is not None:
        state.update(values)
    return {name: x.detach().numpy() for name, x in get_peft_model_state_dict(model, state_dict=state,
                                                                            save_embedding_layers=False).items()}


def with_adapter(base, config, tensors, dtype):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        (folder / "adapter_config.json").write_text(json.dumps(config))
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        model = PeftModel.from_pretrained(base, folder, is_trainable=True, autocast_adapter_dtype=False)
    for p in model.parameters():
        assert p.dtype == dtype
    return model.eval()


def gradients(model, texts, counted):
    """Loss, gradients and sizes of what learns."""
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sums = {name: torch.zeros_like(p) for name, p in learning.items()}
    sizes = {name: torch.zeros_like(p) for name, p in learning.items()}
    loss = 0
    for own in token_losses(model, texts):
        loss += own.item() / counted
        for name, g in zip(learning, torch.autograd.grad(own / counted, list(learning.values()), retain_graph=True,
                                                         allow_unused=True)):
            if g is not None:
                sums[name] += g
                sizes[name] += g.abs()
    return loss, saved(model, sums), saved(model, sizes)


def whole_gradients(model, texts, counted):
    sum(token_losses(model, texts)).div(counted).backward()
    return saved(model, {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()
                         if p.requires_grad})


def logits_of(model, ids):
    seen = {}
    base = model.get_base_model()
    hook = base.lm_head.register_forward_pre_hook(lambda _, args: seen.update(x=args[0]))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    hook.remove()
    return logits.numpy(), (seen["x"][0].abs() @ base.lm_head.weight.abs().T).detach().numpy()


def rows_of(model, ids):
    logits, sums = logits_of(model, ids)
    return [{"position": p, "logits": numbers(logits[p], 9), "sums": numbers(sums[p], 4)} for p in POSITIONS]


def config_of(name, base, weights, options):
    """What PEFT writes for these options, and the tensors' shapes."""
    model = get_peft_model(open_model(base["config"], weights, torch.float32), LoraConfig(**options))
    with tempfile.TemporaryDirectory() as path:
        model.save_pretrained(path, save_embedding_layers=False)
        config = json.loads((pathlib.Path(path) / "adapter_config.json").read_text())
        shapes = {n: x.shape for n, x in load_file(pathlib.Path(path) / "adapter_model.safetensors").items()}
    config["base_model_name_or_path"] = name
    for key in "target_modules", "target_parameters":  # sets: in any order
        if isinstance(config[key], list):
            config[key].sort()
    return config, [[n, list(shape), *scale_of(n)] for n, shape in sorted(shapes.items())]


def make_each(name):
    base_name, options = EACH[name]
    base, weights = read_case(base_name)
    sizes, r, prefix = base["config"], options["r"], "base_model.model.model.layers."
    dim, ffn = sizes["hidden_size"], sizes["intermediate_size"]
    shapes = {}
    for layer in range(sizes["num_hidden_layers"]):
        modules = {f"{layer}.block_sparse_moe.experts.{e}.w{k}": (dim, ffn) if k == 2 else (ffn, dim)
                   for e in range(sizes["num_local_experts"]) for k in (1, 2, 3)}
        modules[f"{layer}.self_attn.q_proj"] = (dim, dim)
        for module, (out, inner) in modules.items():
            shapes[f"{prefix}{module}.lora_A.weight"] = (r, inner)
            shapes[f"{prefix}{module}.lora_B.weight"] = (out, r)
    table = [[n, list(shape), *scale_of(n)] for n, shape in sorted(shapes.items())]
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base_name, **options}
    model = with_adapter(open_model(sizes, weights, torch.float32), config, {t[0]: weight(*t) for t in table},
                         torch.float32)
    write(name, base_name, config, base, {"tensors": table, "rows": rows_of(model, base["ids"])})
    print(f"{name}: {len(table)} tensors")


def write(name, base_name, config, base, lists, **more):
    texts = [{"ids": i, "targets": t} for i, t in texts_of(base_name, base["ids"])]
    out = {"base": base_name, "config": config, "texts": texts, **more}
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in out.items()]
    for key, values in lists.items():
        lines.append(f'"{key}": [\n' + ",\n".join(json.dumps(v) for v in values) + "\n]")
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def make(name):
    base_name, options = CASES[name]
    base, weights = read_case(base_name)
    config, table = config_of(base_name, base, weights, options)
    tensors = {t[0]: weight(*t) for t in table}
    texts = texts_of(base_name, base["ids"])
    counted = sum(t >= 0 for _, targets in texts for t in targets)
    single = with_adapter(open_model(base["config"], weights, torch.float32), config, tensors, torch.float32)
    rows = rows_of(single, base["ids"])
    plain = open_model(base["config"], weights, torch.float64)
    double = with_adapter(plain, config, {n: x.astype(np.float64) for n, x in tensors.items()}, torch.float64)
    with all_double():
        double_rope(double.get_base_model())
        exact_rows = rows_of(double, base["ids"])
        loss, exact, sizes = gradients(double, texts, counted)
    own = whole_gradients(single, texts, counted)
    assert sorted(exact) == sorted(tensors) == sorted(own)
    errors = {n: scaled_error(own[n].astype(np.float64), exact[n], sizes[n]) for n in exact}
    worst = max(errors, key=errors.get)
    assert errors[worst] < 2000, (name, worst, errors[worst])
    write(name, base_name, config, base, {
        "tensors": table, "gradients": [entry(n, exact[n], sizes[n], errors[n]) for n in sorted(exact)],
        "rows": rows, "rows_exact": exact_rows}, loss=number(loss, 12))
    print(f"{name}: loss {loss:.6g}, {len(table)} tensors, float32 is off by {errors[worst]:.1f} units in {worst}")


def check(base, adapter, logits, tokens):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager",
                                                 experts_implementation="eager")
    model = PeftModel.from_pretrained(model, adapter).eval()
    want, _ = logits_of(model, tokens)
    have = load_file(logits)["logits"]
    print(f"largest difference {np.abs(have - want).max():.3g} of logits up to {np.abs(want).max():.3g}")


def main():
    warnings.filterwarnings("ignore")
    torch.topk = gpt_oss_models.stable_topk
    if sys.argv[1:2] == ["--check"]:
        check(*sys.argv[2:5], [int(t) for t in sys.argv[6].split(",")])
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or [*CASES, *EACH]:
        (make_each if name in EACH else make)(name)


if __name__ == "__main__":
    main()
