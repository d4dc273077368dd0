# SPDX-License-Identifier: Apache-2.0
"""What a reference framework computes at every layer of a model: the file that `wazn selftest --reference` reads.

    python tools/golden/trace.py FOLDER --out trace.safetensors --ids 1,403,407
    python tools/golden/trace.py FOLDER --out trace.safetensors --text "Once upon a time" [--framework openai]
    python tools/golden/trace.py FOLDER --gguf FILE.gguf --out trace.safetensors --ids 1,403,407

FOLDER is a Hugging Face folder, run in float32 on the CPU by transformers (eager attention), or with --framework openai
by the torch model of the package gpt-oss, which reads OpenAI's own checkpoint (config.json beside the safetensors, in
its names). --gguf dequantizes a GGUF file of FOLDER instead, so that quantized weights are the same numbers on both
sides. Values behind a layer are taken by hooks on the decoder layers: the list of hidden states that transformers gives
ends behind the final norm. The file's tensors: src/infer/trace.h.
"""
import argparse
import contextlib
import importlib.metadata
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file


def version(package):
    return f"{package} {importlib.metadata.version(package)}"


def decoder_layers(model, count):
    """The list of layers, whatever the family calls it: the one ModuleList of that length that is not inside another."""
    found = [m for name, m in model.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count
             and not any(part.isdigit() for part in name.split(".")) and "vision" not in name]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} lists of {count} layers in {type(model).__name__}, expected one")
    return found[0]


@contextlib.contextmanager
def recorded(layers):
    """A list that gets what the first layer reads and what each layer gives, when the model runs."""
    def tensor(x):
        return (x[0] if isinstance(x, tuple) else x).detach().float().numpy()

    states = []
    hooks = [layers[0].register_forward_pre_hook(
        lambda module, args, named: states.append(tensor(args[0] if args else named["hidden_states"])),
        with_kwargs=True)]
    hooks += [layer.register_forward_hook(lambda module, args, out: states.append(tensor(out))) for layer in layers]
    yield states
    for hook in hooks:
        hook.remove()


def run_transformers(folder, gguf, ids):
    from transformers import AutoModelForCausalLM
    named = {"gguf_file": gguf} if gguf else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                 **named).eval()
    layers = decoder_layers(model, model.config.get_text_config().num_hidden_layers)
    with torch.no_grad(), recorded(layers) as states:
        logits = model(torch.tensor([ids])).logits.numpy()
    return [x[0] for x in [*states, logits]], version("transformers")


def run_openai(folder, ids):
    """Experts stay dequantized in float32 as OpenAI's reader gives them; everything else becomes float32."""
    from gpt_oss.torch.model import Transformer
    from gpt_oss_models import stable_topk
    torch.topk = stable_topk
    model = Transformer.from_checkpoint(folder, device=torch.device("cpu")).float().eval()
    with torch.no_grad(), recorded(model.block) as states:
        logits = model(torch.tensor(ids)).numpy()
    return [*states, logits], version("gpt-oss")


def read_ids(arguments):
    if arguments.ids:
        return [int(i) for i in arguments.ids.replace(",", " ").split()]
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(arguments.folder)(arguments.text)["input_ids"]


def write(path, ids, states, made_by):
    embedding, *layers, logits = (np.ascontiguousarray(x, dtype=np.float32) for x in states)
    tensors = {"ids": np.array(ids, dtype=np.int32), "embedding": embedding, "logits": logits}
    tensors |= {f"layer.{n}": x for n, x in enumerate(layers)}
    save_file(tensors, path, metadata={"made_by": made_by})
    return len(layers)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--out", required=True)
    parser.add_argument("--framework", choices=["transformers", "openai"], default="transformers")
    parser.add_argument("--gguf")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--text")
    given.add_argument("--ids")
    arguments = parser.parse_args()
    ids = read_ids(arguments)
    if arguments.framework == "openai":
        states, framework = run_openai(str(arguments.folder), ids)
    else:
        states, framework = run_transformers(arguments.folder, arguments.gguf, ids)
    made_by = f"{framework}, {version('torch')}, float32"
    layers = write(arguments.out, ids, states, made_by)
    print(f"{arguments.out}: {len(ids)} tokens, {layers} layers, {made_by}")


if __name__ == "__main__":
    main()
