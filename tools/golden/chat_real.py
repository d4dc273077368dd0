# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/chat_real.json: conversations in the ids of published SentencePiece vocabularies.

    python tools/golden/chat_real.py --templates DIR --data DATA tests/golden/data/chat_real.json

Llama 2: transformers' apply_chat_template with its tokenizer.json (special tokens matched in raw text, as the published
file has it by now). Mistral v1: mistral-common. Texts of the conversations come from chat.py.
"""

import argparse
import gzip
import json
import os

import chat
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast


def llama2(data):
    model = json.loads(gzip.open(os.path.join(data, "tokenizers/llama2/tokenizer.json.gz")).read())
    vocab, merges = model["model"]["vocab"], []
    for merge in model["model"]["merges"]:  # pieces of white space alone make "left right" ambiguous
        cuts = [
            i
            for i, c in enumerate(merge)
            if c == " " and merge[:i] in vocab and merge[i + 1 :] in vocab and merge[:i] + merge[i + 1 :] in vocab
        ]
        merges.append([merge[: cuts[0]], merge[cuts[0] + 1 :]])
    model["model"]["merges"] = merges
    for token in model["added_tokens"]:
        token["normalized"] = False
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(model)), bos_token="<s>", eos_token="</s>"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--templates", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("out")
    arguments = parser.parse_args()
    chats, sets = chat.conversations(), []
    fast = llama2(arguments.data)
    for name in ("llama2", "zephyr", "mixtral"):
        fast.chat_template = open(os.path.join(arguments.templates, name + ".jinja"), encoding="utf-8").read()
        cases = []
        for number, (messages, options) in enumerate(chats):
            ids = chat.render(fast, messages, options)
            # The model file and its conversion differ in what U+00A0 becomes: not the format's matter.
            if ids is not None and number != 6:
                cases.append({"messages": messages, **options, "ids": ids})
        sets.append({"tokenizer": "tokenizers/llama2/tokenizer.model", "format": name, "cases": cases})
    path = "tokenizers/mistral/tokenizer.model.v1"
    common, cases = MistralTokenizer.from_file(os.path.join(arguments.data, path)), []
    for messages, options in chats:
        try:
            ids = common.encode_chat_completion(ChatCompletionRequest.from_openai(messages=messages)).tokens
        except Exception:  # refuses what it would not serve, such as a last message of the assistant
            continue
        cases.append({"messages": messages, **options, "ids": ids})
    sets.append({"tokenizer": path, "format": "mistral-v1", "cases": cases})
    for one in sets:
        print(one["format"], len(one["cases"]), "cases")
    with open(arguments.out, "w") as f:
        f.write('{"sets": [\n' + ",\n".join(json.dumps(one) for one in sets) + "\n]}\n")


if __name__ == "__main__":
    main()
