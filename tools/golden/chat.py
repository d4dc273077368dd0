# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/chat/FORMAT.json: conversations and the tokens that transformers' apply_chat_template gives.

    python tools/golden/chat.py --templates DIR tests/golden/data/chat

DIR/FORMAT.jinja are the models' published templates (not in this repository; their SHA-256 goes into the output). The
vocabulary is one token per byte and the format's control tokens, so that "tokens" can be written as text between the
names of control tokens: [["<|im_start|>"], "user\\nHi", ["<|im_end|>"], ...].
"""

import argparse
import hashlib
import json
import os

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

LLAMA3 = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
]
MISTRAL = [
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
]
MISTRAL_7 = MISTRAL + ["[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"]
DEEPSEEK = ["<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<\uff5cUser\uff5c>",
            "<\uff5cAssistant\uff5c>"]
CHATML = ["<|endoftext|>", "<|im_end|>", "<|im_start|>"]

# format: (control tokens, BOS, EOS, has tools, calls at once)
FORMATS = {
    "chatml": (CHATML, None, "<|im_end|>", False, 0),
    "smollm2": (CHATML, None, "<|im_end|>", False, 0),
    "qwen2": (CHATML, None, "<|im_end|>", False, 0),
    "qwen2.5": (CHATML, None, "<|im_end|>", True, 2),
    "qwen3": (CHATML, None, "<|im_end|>", True, 2),
    "llama2": (["<s>", "</s>"], "<s>", "</s>", False, 0),
    "llama3": (LLAMA3, "<|begin_of_text|>", "<|eot_id|>", False, 0),
    "llama3.1": (LLAMA3, "<|begin_of_text|>", "<|eot_id|>", True, 1),
    "mistral-v0.1": (["<s>", "</s>"], "<s>", "</s>", False, 0),
    "mixtral": (["<s>", "</s>"], "<s>", "</s>", False, 0),
    "mistral-v1": (["<s>", "</s>"], "<s>", "</s>", False, 0),
    "mistral-v3": (MISTRAL, "<s>", "</s>", True, 2),
    "mistral-tekken": (MISTRAL, "<s>", "</s>", True, 2),
    "mistral-v7": (MISTRAL_7, "<s>", "</s>", False, 0),
    "mistral-v7-tekken": (MISTRAL_7, "<s>", "</s>", False, 0),
    "gemma": (["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], "<bos>", "<eos>", False, 0),
    "zephyr": (["<s>", "</s>"], "<s>", "</s>", False, 0),
    "qwen3-thinking": (CHATML, None, "<|im_end|>", True, 2),
    "qwen3-instruct": (CHATML, None, "<|im_end|>", True, 2),
    "deepseek-r1": (DEEPSEEK, DEEPSEEK[0], DEEPSEEK[1], False, 0),
    "deepseek-r1-first": (DEEPSEEK, DEEPSEEK[0], DEEPSEEK[1], False, 0),
}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place, today or soon: \u00b0C / \u00b0F",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town, such as Z\u00fcrich or \u6771\u4eac"},
                "days": {"type": "integer", "default": 1, "minimum": 0},
                "scale": {"type": "number", "enum": [0.1, 1.0, 2.5e-07, 1e16, -3.25, 123456789.125]},
                "options": {"type": ["object", "null"], "properties": {}, "required": []},
            },
            "required": ["place"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "clock", "description": "The time", "parameters": {"type": "object", "properties": {}}},
}


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def tool(text, call, name):
    return {"role": "tool", "content": text, "tool_call_id": call, "name": name}


def calls(*of):
    return [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in of]


def conversations():
    """(messages, options) for every format."""
    hello, bye = user("Hello, who are you?"), user("And what can you do?")
    spaced = [
        system("  Be brief.\n\n"),
        user("\n  What is \t this? \n"),
        assistant(" \n A test.  \n"),
        user("  More  "),
    ]
    world = [
        system("\u062a\u062d\u062f\u062b \u0628\u0627\u0644\u0639\u0631\u0628\u064a\u0629"),
        user("\u3000\u4f60\u597d\uff0c\u4e16\u754c \U0001f44b\U0001f3fd\u200d\u2696\ufe0f\u00a0"),
        assistant("e\u0301 \u00e9 \u2028\u0928\u092e\u0938\u094d\u0924\u0947\x85"),
        user("\x1f\u0e44\u0e17\u0e22 \u2581 \\n \"'"),
    ]
    chats = [
        [hello],
        [system("You are a poet."), hello],
        [hello, assistant("A program."), bye],
        [system("You are a poet."), hello, assistant("I am."), bye, assistant("Rhyme."), user("Do it.")],
        [system("Be kind."), hello, assistant("I am.\n\n- one\n- two\n")],
        spaced,
        world,
        [user("")],
        [system(""), user("x"), assistant(""), user("\n")],
        [user(" \n "), assistant("\n\n"), user("y")],
        [
            user("def f(a):\n    return {'a': a[0]}  # {{ x }} {% y %}\n\n\n"),
            assistant("```c\nint x;\n```"),
            user("ok"),
        ],
        [user("<|user|>\n<<SYS>> <start_of_turns> [INSTR] <tool_call> <think>"), assistant("</think>?"), user("z")],
    ]
    out = [(chat, {"add_generation_prompt": True}) for chat in chats]
    out += [(chat, {"add_generation_prompt": False}) for chat in chats[:5]]
    return out


def tool_conversations(at_once):
    ask = user("How is the weather in Z\u00fcrich?")
    one = calls(
        ("abcdefgh1", "get_weather", {"place": "Z\u00fcrich", "days": 2, "scale": 0.5, "deep": {"a": [1, None, True]}})
    )
    answer = tool('{"celsius": 21.5}', "abcdefgh1", "get_weather")
    tools = [WEATHER, CLOCK]
    out = [
        ([ask], tools),
        ([system("Use tools."), ask], tools),
        ([ask, assistant(None, tool_calls=one), answer], tools),
        (
            [
                system("Use tools."),
                ask,
                assistant(None, tool_calls=one),
                answer,
                assistant("21.5 degrees."),
                user('Thanks. "Quotes"'),
            ],
            tools,
        ),
        ([system("S"), user("Hi"), assistant("Hi."), ask, assistant(None, tool_calls=one), answer], [CLOCK]),
        ([ask, assistant(None, tool_calls=one), answer, assistant("Fine.")], None),
    ]
    if at_once > 1:
        two = one + calls(("abcdefgh2", "clock", {}))
        out += [
            ([ask, assistant("", tool_calls=two), answer, tool("12:30", "abcdefgh2", "clock")], tools),
            (
                [
                    ask,
                    assistant("Let me look.\n", tool_calls=two),
                    answer,
                    tool("12:30", "abcdefgh2", "clock"),
                    assistant("Half past."),
                    user("Good"),
                ],
                tools,
            ),
        ]
    return [
        (chat, {"add_generation_prompt": True, "tools": t} if t else {"add_generation_prompt": True}) for chat, t in out
    ]


def thinking_conversations():
    one = calls(("abcdefgh1", "clock", {"zone": "UTC"}))
    said = assistant("<think>\nHm, easy.\n</think>\n\nFour.")
    out = [
        ([user("2+2?")], {"enable_thinking": False}),
        ([user("2+2?")], {"enable_thinking": True}),
        ([user("2+2?"), said, user("3+3?")], {}),
        ([user("2+2?"), said], {"add_generation_prompt": False}),
        ([user("2+2?"), assistant("\n\nFour.", reasoning_content="\nAdd.\n")], {"add_generation_prompt": False}),
        ([user("2+2?"), assistant("a</think>b<think>c</think>\nd")], {"add_generation_prompt": False}),
        (
            [user("Time?"), assistant("<think>Look.</think>", tool_calls=one), tool("12:30", "abcdefgh1", "clock")],
            {"tools": [CLOCK]},
        ),
        (
            [
                user("Time?"),
                assistant("", reasoning_content="Look.", tool_calls=one),
                tool("12:30", "abcdefgh1", "clock"),
                assistant("Half past.", reasoning_content="Got it."),
                user("Ok"),
            ],
            {"tools": [CLOCK]},
        ),
        (
            [
                user("Time?"),
                assistant("Wait.", tool_calls=one),
                tool("12:30", "abcdefgh1", "clock"),
                assistant("It is."),
                tool("again", "abcdefgh1", "clock"),
            ],
            {"tools": [CLOCK]},
        ),
        ([user("Hi"), assistant("Yes"), user("<tool_response>\n1\n</tool_response>"), assistant("One.")], {}),
    ]
    return [(chat, {"add_generation_prompt": True, **options}) for chat, options in out]


def deepseek_conversations():
    """Thoughts in the history, calls whose arguments are text, results; no answer is asked for behind a result."""
    one = calls(("c1", "get_weather", '{"place": "Z\u00fcrich", "days": 2}'))
    two = calls(("c1", "get_weather", '{"place": "Z\u00fcrich"}'), ("c2", "clock", "{}"))
    ask, answer = user("How is the weather?"), tool('{"celsius": 21.5}', "c1", "get_weather")
    fine = assistant("<think>\nStill.\n</think>\n\nFine.")
    out = [
        ([user("2+2?"), assistant("<think>\nHm.\n</think>\n\nFour."), user("3+3?")], True),
        ([user("2+2?"), assistant("a</think>b<think>c</think>\nd")], False),
        ([user("2+2?"), assistant("\n\nFour. <think>"), user("x"), system("Late."), user("y")], True),
        ([ask, assistant(None, tool_calls=one)], False),
        ([ask, assistant(None, tool_calls=one), answer], False),
        ([ask, assistant(None, tool_calls=one), answer, fine, user("Thanks.")], True),
        ([ask, assistant(None, tool_calls=two), answer, tool("12:30", "c2", "clock"), fine, user("Good")], True),
        ([ask, assistant(None, tool_calls=two), answer, assistant("A."), ask, assistant(None, tool_calls=one), answer,
          assistant("B."), fine, user("And?")], True),
        ([user("Hi"), answer, user("Hi again")], True),
    ]
    return [(chat, {"add_generation_prompt": prompt}) for chat, prompt in out]


def byte_tokenizer(controls, bos, eos, template):
    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    t = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in controls])
    fast = PreTrainedTokenizerFast(tokenizer_object=t, bos_token=bos, eos_token=eos)
    fast.chat_template = template
    return fast


def tokens(fast, ids, controls):
    out, text = [], []
    for i in ids + [None]:
        name = None if i is None else fast.convert_ids_to_tokens(i)
        if name is None or name in controls:
            if text:
                out.append(fast.decode(text, clean_up_tokenization_spaces=False))
            text = []
            if name:
                out.append([name])
        else:
            text.append(i)
    return out


def render_text(fast, chat, options):
    """apply_chat_template since transformers 5 drops members that are None; DeepSeek's templates ask for them."""
    if "message['content'] is none" not in fast.chat_template:
        return fast.apply_chat_template(chat, tokenize=False, **options)
    return render_jinja_template([chat], chat_template=fast.chat_template, **fast.special_tokens_map, **options)[0][0]


def render(fast, chat, options):
    """Ids, or None where the template refuses."""
    try:
        if "message['content'] is none" in fast.chat_template:
            return fast(render_text(fast, chat, options), add_special_tokens=False)["input_ids"]
        return fast.apply_chat_template(chat, tokenize=True, return_dict=False, **options)
    except Exception as error:
        if type(error).__name__ not in ("TemplateError", "UndefinedError", "TypeError"):
            raise
        return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--templates", required=True)
    parser.add_argument("--only", nargs="*", choices=FORMATS, help="these formats alone")
    parser.add_argument("out")
    arguments = parser.parse_args()
    for name in arguments.only or FORMATS:
        controls, bos, eos, has_tools, at_once = FORMATS[name]
        path = os.path.join(arguments.templates, name + ".jinja")
        template = open(path, encoding="utf-8").read()
        fast = byte_tokenizer(controls, bos, eos, template)
        chats = conversations()
        if has_tools:
            chats += tool_conversations(at_once)
        if name.startswith("qwen3"):
            chats += thinking_conversations()
        if name.startswith("deepseek"):
            chats += deepseek_conversations()
        if name == "llama3.1":
            chats.append(([user("Hi")], {"add_generation_prompt": True, "date_string": "01 Jan 2025"}))
        cases = []
        for chat, options in chats:
            ids = render(fast, chat, options)
            case = {"messages": chat, **options}
            if ids is not None:
                assert fast.decode(ids, clean_up_tokenization_spaces=False) == render_text(fast, chat, options)
            case["tokens"] = None if ids is None else tokens(fast, ids, controls)
            cases.append(case)
        golden = {
            "format": name,
            "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
            "bos": bos,
            "eos": eos,
            "controls": controls,
            "cases": cases,
        }
        with open(os.path.join(arguments.out, name + ".json"), "w", encoding="utf-8") as f:
            head = {k: v for k, v in golden.items() if k != "cases"}
            f.write(json.dumps(head, indent=1)[:-2] + ',\n "cases": [\n')
            f.write(",\n".join("  " + json.dumps(case) for case in cases) + "\n ]\n}\n")
        refused = sum(case["tokens"] is None for case in cases)
        print("%-18s %3d cases, %d refused" % (name, len(cases), refused))


if __name__ == "__main__":
    main()
