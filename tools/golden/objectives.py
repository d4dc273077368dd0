# SPDX-License-Identifier: Apache-2.0
"""Losses of preferences and rewards, by TRL and PyTorch: what tests/golden/test_objectives.c compares with.

    python tools/golden/objectives.py

Writes tests/golden/data/objectives.json. "preference" and "grpo": random log-probabilities, what TRL's trainers make of
them (their loss methods, on a stand-in for the trainer) and the derivative by each, from autograd. Where TRL has no such
loss (label smoothing of cDPO, ORPO's likelihood as a mean per answer) the formula stands here. "advantages": from rewards.
"models": the same losses of whole tiny models in float64, with norms, projections and elements of some gradients, each
as tools/golden/gradients.py describes them.
"""
import collections
import json
import types

import numpy as np
import torch
import torch.nn.functional as F
from trl import DPOTrainer, GRPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.trainer.utils import nanstd

from gradients import all_double, as_saved, double_rope, entry, number, open_model, read_case
from models import OUT

PATH = OUT.parent / "objectives.json"
GROUP = 4
PARTS = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight",
         "model.norm.weight", "lm_head.weight"]


class Accelerator:
    """One process."""
    device, num_processes, process_index, sync_gradients = "cpu", 1, 0, True

    def gather(self, x):
        return x
    gather_for_metrics = gather

    def reduce(self, x, reduction="mean"):
        return x


def trainer(**members):
    """What the loss methods of TRL's trainers ask of `self`."""
    return types.SimpleNamespace(accelerator=Accelerator(), aux_loss_enabled=False, ld_alpha=None, _tp_size=1,
                                 _total_train_tokens=0, _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
                                 model=types.SimpleNamespace(training=True), **members)


def padded(rows):
    """(rows, longest) and where something stands."""
    longest = max(len(r) for r in rows)
    mask = torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in rows])
    return torch.stack([torch.cat([r, r.new_zeros(longest - len(r))]) for r in rows]), mask


# ---- pairs ----

def dpo_trl(o, rows, reference):
    """rows: chosen, rejected, chosen ...; TRL has all chosen first. The first token of a text has no log-probability."""
    order = list(range(0, len(rows), 2)) + list(range(1, len(rows), 2))
    logps, mask = padded([rows[i] for i in order])
    whole = torch.cat([torch.zeros(len(rows), 1, dtype=mask.dtype), mask], 1)
    zero = torch.zeros_like(logps)
    outputs = types.SimpleNamespace(log_probs=logps, entropy=zero, mean_logits=zero, is_top1=zero.bool())
    self = trainer(precompute_ref_logps=True, f_divergence_type="reverse_kl", loss_types=[o["loss"]], loss_weights=[1.0],
                   beta=o["beta"], label_smoothing=o["label_smoothing"], use_weighting=False)
    inputs = {"input_ids": whole, "attention_mask": whole, "completion_mask": whole,
              "ref_chosen_logps": reference[0::2], "ref_rejected_logps": reference[1::2]}
    loss = DPOTrainer._compute_loss(self, lambda **named: outputs, inputs, False)
    m = self._metrics["train"]
    return loss, {"chosen_reward": m["rewards/chosen"][0], "rejected_reward": m["rewards/rejected"][0],
                  "margin": m["rewards/margins"][0], "accuracy": m["rewards/accuracies"][0],
                  "chosen_logprob": m["logps/chosen"][0], "rejected_logprob": m["logps/rejected"][0]}


def preference(o, rows, reference):
    if o["loss"] == "orpo":
        means = torch.stack([r.mean() for r in rows])
        losses, chosen, rejected, _, odds = ORPOTrainer.odds_ratio_loss(trainer(beta=o["beta"]), means[0::2], means[1::2])
        likelihood = -means[0::2].mean()
        return likelihood - losses.mean(), {
            "chosen_reward": chosen.mean().item(), "rejected_reward": rejected.mean().item(),
            "margin": (chosen - rejected).mean().item(), "accuracy": (chosen > rejected).double().mean().item(),
            "likelihood_loss": likelihood.item(), "log_odds": odds.item()}
    loss, metrics = dpo_trl(o, rows, reference)
    if o["loss"] == "sigmoid" and o["label_smoothing"]:
        ratios = torch.stack([r.sum() for r in rows]) - reference
        z, e = o["beta"] * (ratios[0::2] - ratios[1::2]), o["label_smoothing"]
        loss = (-(1 - e) * F.logsigmoid(z) - e * F.logsigmoid(-z)).mean()
    return loss, metrics


PREFERENCES = [{"loss": loss, "beta": beta, "label_smoothing": smoothing} for loss, beta, smoothing in (
    ("sigmoid", 0.1, 0.0), ("sigmoid", 2.0, 0.0), ("sigmoid", 0.3, 0.1), ("robust", 0.3, 0.2), ("hinge", 0.2, 0.0),
    ("ipo", 0.1, 0.0), ("ipo", 0.7, 0.0), ("orpo", 0.1, 0.0), ("orpo", 1.5, 0.0))]


def logprobs(random, counts, size):
    """As floats, so that both sides start from the same numbers."""
    return [torch.tensor((-size * random.exponential(size=n)).astype(np.float32).astype(np.float64), requires_grad=True)
            for n in counts]


def plain(x):
    return [number(v, 9) for v in torch.cat(list(x)).detach().tolist()]


def slopes(loss, rows):
    return [number(v, 9) for g in torch.autograd.grad(loss, rows) for v in g.tolist()]


def preference_cases():
    random = np.random.default_rng(7)
    for i, o in enumerate(PREFERENCES):
        counts = [int(n) for n in random.integers(1, 12, size=10)]
        rows = logprobs(random, counts, 0.05 if i % 3 == 2 else 1.5)
        reference = torch.stack([r.detach().sum() for r in rows]) + torch.tensor(random.normal(size=10))
        loss, metrics = preference(o, rows, reference)
        yield {**o, "counts": counts, "logprobs": plain(rows), "reference": reference.tolist(), "value": loss.item(),
               "weights": slopes(loss, rows), "metrics": metrics}


# ---- groups ----

def grpo(o, rows, old, reference, entropies, advantages, kept):
    """TRL's loss of one batch that is a whole step."""
    logps, mask = padded(rows)
    mask = mask * torch.tensor(kept)[:, None]
    pad = lambda x: padded(x)[0]
    self = trainer(
        _get_per_token_logps_and_entropies=lambda *a, **named: (logps, pad(entropies), None), top_entropy_quantile=1.0,
        off_policy_mask_threshold=None, importance_sampling_level=o["ratio"], beta=o["beta"],
        loss_type={"completions": "grpo", "tokens": "dapo", "length": "dr_grpo"}[o["mean"]],
        epsilon_low=o["epsilon_low"], epsilon_high=o["epsilon_high"], use_vllm=False, current_gradient_accumulation_steps=1,
        max_completion_length=o["tokens_max"], _entropy_bonus_enabled=False,
        args=types.SimpleNamespace(delta=o["ratio_max"] or None, use_bias_correction_kl=False, steps_per_generation=1))
    inputs = {"prompt_ids": mask[:, :1], "prompt_mask": mask[:, :1], "completion_ids": mask, "completion_mask": mask,
              "advantages": torch.tensor(advantages, dtype=torch.float64), "num_items_in_batch": mask.sum()}
    if old is not None:
        inputs["old_per_token_logps"] = pad(old)
    if reference is not None:
        inputs["ref_per_token_logps"] = pad(reference)
    loss = GRPOTrainer._compute_loss(self, None, inputs)
    m = self._metrics["train"]
    metrics = {"entropy": m["entropy"][0]}
    if o["beta"]:
        metrics["divergence"] = m["kl"][0]
    if o["ratio"] == "token":
        metrics |= {"clip_low": m["clip_ratio/low_mean"][0], "clip_high": m["clip_ratio/high_mean"][0]}
    return loss, metrics


GRPO = [dict(zip(("mean", "ratio", "epsilon_low", "epsilon_high", "ratio_max", "beta", "tokens_max"), o)) for o in (
    ("completions", "token", 0.2, 0.2, 0.0, 0.0, 12), ("completions", "token", 0.2, 0.2, 0.0, 0.04, 12),
    ("tokens", "token", 0.2, 0.28, 0.0, 0.0, 12), ("tokens", "token", 0.2, 0.28, 2.0, 0.3, 12),
    ("length", "token", 0.2, 0.2, 0.0, 0.0, 12), ("length", "token", 0.1, 0.3, 3.0, 0.1, 20),
    ("completions", "sequence", 0.003, 0.004, 0.0, 0.0, 12), ("tokens", "sequence", 0.1, 0.2, 1.5, 0.05, 12))]


def near(random, rows, size):
    return [r.detach() + torch.tensor(random.normal(scale=size, size=len(r)).astype(np.float32)) for r in rows]


def as_float(rows):
    return [r.to(torch.float32).to(torch.float64) for r in rows]


def grpo_cases():
    random = np.random.default_rng(8)
    for i, o in enumerate(GRPO * 2):
        counts = [int(n) for n in random.integers(1, 13, size=3 * GROUP)]
        rows = logprobs(random, counts, 1.5)
        old = as_float(near(random, rows, 0.05 if o["ratio"] == "sequence" else 0.5)) if i < len(GRPO) else None
        reference = as_float(near(random, rows, 0.7)) if o["beta"] else None
        entropies = as_float([torch.tensor(random.exponential(size=n)) for n in counts])
        advantages = random.normal(size=len(counts)).tolist()
        kept = [int(k) for k in random.random(len(counts)) > 0.2] if i % 3 == 1 else [1] * len(counts)
        loss, metrics = grpo(o, rows, old, reference, entropies, advantages, kept)
        yield {**o, "counts": counts, "logprobs": plain(rows), "old": old and plain(old),
               "reference": reference and plain(reference), "entropies": plain(entropies), "advantages": advantages,
               "kept": kept, "value": loss.item(), "weights": slopes(loss, rows), "metrics": metrics}


def advantage_cases():
    """As GRPOTrainer._generate_and_score_completions has it, which is one with the generating."""
    random = np.random.default_rng(9)
    for scale in "group", "batch", "none":
        rewards = torch.tensor(np.round(random.normal(size=(5, GROUP)), 3))
        rewards[1], rewards[3] = 1.0, rewards[3].round()
        middle = torch.nanmean(rewards, dim=1, keepdim=True)
        by = {"group": nanstd(rewards, dim=1, keepdim=True) + 1e-4, "batch": nanstd(rewards) + 1e-4, "none": 1}[scale]
        yield {"scale": scale, "group": GROUP, "rewards": rewards.flatten().tolist(), "mean": rewards.mean().item(),
               "deviation": nanstd(rewards).item(), "equal": 0.2, "advantages": ((rewards - middle) / by).flatten().tolist()}


# ---- whole models ----

def text_rows(model, texts, temperature):
    """Log-probabilities of each text's answer: what stands behind its prompt."""
    for ids, prompt in texts:
        logits = model(torch.tensor([ids], dtype=torch.int64)).logits[0, prompt - 1:-1] / temperature
        yield torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[prompt:])[:, None])[:, 0]


def cut_texts(ids):
    """Four texts of different lengths with a prompt each."""
    return [(ids[a:b], prompt) for a, b, prompt in ((0, 14, 5), (14, 23, 4), (23, 30, 1), (28, 40, 6))]


def summary(model, loss, rows, weights):
    """Gradients of the loss, and as their sizes the sums over tokens of absolute values."""
    parameters = list(model.parameters())
    exact = [torch.zeros_like(p) for p in parameters]
    sizes = [torch.zeros_like(p) for p in parameters]
    for logprob, weight in zip(torch.cat(rows), weights):
        for i, g in enumerate(torch.autograd.grad(logprob * weight, parameters, retain_graph=True, allow_unused=True)):
            if g is not None:
                exact[i] += g
                sizes[i] += g.abs()
    for g, whole in zip(exact, torch.autograd.grad(loss, parameters)):  # autograd agrees with the weights
        assert torch.allclose(g, whole, rtol=1e-8, atol=1e-12)
    exact, sizes = as_saved(model, exact), as_saved(model, sizes)
    return [entry(name, exact[name], sizes[name], 0) for name in PARTS if name in exact]


def model_case(name, o, temperature):
    case, weights = read_case(name)
    texts = cut_texts(case["ids"])
    random = np.random.default_rng(10)
    model = open_model(case["config"], weights, torch.float64)
    with all_double():
        double_rope(model)
        rows = list(text_rows(model, texts, temperature))
        leaves = [r.detach().requires_grad_() for r in rows]
        out = {"model": name, "temperature": temperature, **o, "texts": [[ids, prompt] for ids, prompt in texts]}
        if "loss" in o:
            reference = torch.stack([r.detach().sum() for r in rows]) + torch.tensor(random.normal(size=len(rows)))
            loss, inner = (preference(o, x, reference)[0] for x in (rows, leaves))
            out["reference"] = reference.tolist()
        else:
            old, reference = (as_float(near(random, rows, size)) for size in (0.3, 0.5))
            advantages = random.normal(size=len(rows)).tolist()
            loss, inner = (grpo(o, x, old, reference if o["beta"] else None, [r.detach() for r in rows], advantages,
                                [1] * len(rows))[0] for x in (rows, leaves))
            out |= {"old": plain(old), "reference": plain(reference), "advantages": advantages}
        slope = torch.cat(torch.autograd.grad(inner, leaves))
        out |= {"value": loss.item(), "gradients": summary(model, loss, rows, slope)}
    return out


def model_cases():
    for name in "llama_plain", "llama_grouped":
        yield model_case(name, PREFERENCES[1], 1.0)
        yield model_case(name, PREFERENCES[5], 1.0)
        yield model_case(name, PREFERENCES[8], 1.0)
        yield model_case(name, GRPO[1], 1.0)
        yield model_case(name, GRPO[3], 0.8)
        yield model_case(name, GRPO[7], 1.3)


def main():
    out = {"preference": preference_cases, "grpo": grpo_cases, "advantages": advantage_cases, "models": model_cases}
    parts = []
    for name, make in out.items():
        cases = list(make())
        parts.append(f'"{name}": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]")
        print(f"{name}: {len(cases)} cases")
    PATH.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
