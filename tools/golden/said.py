# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/chat_said.json: what the assistant says in the conversations of tests/golden/data/chat.

    python tools/golden/said.py tests/golden/data

Read off the tokens that the models' own templates gave (tools/golden/chat.py), by where they stand: from behind the mark
that opens the assistant's turn to the mark that ends it, control tokens written as \\ue000 NAME \\ue001.
"""

import json
import os
import re
import sys

OPEN, CLOSE = "\ue000", "\ue001"


def mark(name):
    return re.escape(OPEN + name + CLOSE)


def between(opening, ending):
    return re.compile("(?:%s)(.*?%s)" % (opening, mark(ending)), re.S)


CHATML = between(mark("<|im_start|>") + "assistant\n", "<|im_end|>")
LLAMA3 = between(mark("<|start_header_id|>") + "assistant" + mark("<|end_header_id|>") + "\n\n", "<|eot_id|>")
MISTRAL = between(mark("[/INST]") + "|" + mark("[/TOOL_RESULTS]") + "(?!" + mark("[TOOL_RESULTS]") + ")", "</s>")
TEXT_INST = re.compile(r" \[/INST\](.*?%s)" % mark("</s>"), re.S)
RULES = {
    "chatml": CHATML,
    "smollm2": CHATML,
    "qwen2": CHATML,
    "qwen2.5": CHATML,
    "qwen3": CHATML,
    "qwen3-thinking": CHATML,
    "qwen3-instruct": CHATML,
    "llama2": TEXT_INST,
    "llama3": LLAMA3,
    "llama3.1": LLAMA3,
    "mistral-v0.1": TEXT_INST,
    "mixtral": TEXT_INST,
    "mistral-v1": TEXT_INST,
    "mistral-v3": MISTRAL,
    "mistral-tekken": MISTRAL,
    "mistral-v7": MISTRAL,
    "mistral-v7-tekken": MISTRAL,
    "gemma": between(mark("<start_of_turn>") + "model\n", "<end_of_turn>"),
    "zephyr": re.compile(r"<\|assistant\|>\n(.*?%s)" % mark("</s>"), re.S),
}
NO_THOUGHTS = "<think>\n\n</think>\n\n"


def said(name, case):
    text = "".join(OPEN + p[0] + CLOSE if isinstance(p, list) else p for p in case["tokens"])
    turns = RULES[name].findall(text)
    if name.startswith("qwen3"):
        turns = [t[len(NO_THOUGHTS):] if t.startswith(NO_THOUGHTS) else t for t in turns]
    if name == "qwen3-thinking":  # the prompt has written it
        turns = [t[len("<think>\n"):] if t.startswith("<think>\n") else t for t in turns]
    return turns


def main():
    folder = sys.argv[1]
    out = {}
    for name in RULES:
        with open(os.path.join(folder, "chat", name + ".json"), encoding="utf-8") as f:
            cases = json.load(f)["cases"]
        out[name] = [None if c["tokens"] is None else said(name, c) for c in cases]
        print("%-18s %3d turns" % (name, sum(len(c) for c in out[name] if c)))
    with open(os.path.join(folder, "chat_said.json"), "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(" %s: %s" % (json.dumps(k), json.dumps(v)) for k, v in out.items()) + "\n}\n")


if __name__ == "__main__":
    main()
