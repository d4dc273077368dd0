#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares wazn's byte-level BPE with tiktoken, Hugging Face tokenizers and mistral-common, id by id.

Usage: tools/golden/bpe_compare.py DATA BUILD [--fuzz N] [--only NAME]
DATA: the data collection; BUILD: the build folder, which holds bench/tokenize_lines. Prints one table row for each
tokenizer: strings compared, bytes, differences, and strings that do not decode to themselves. Needs the zstd program.
bench/tokenizer_rates.py times the same references."""
import argparse
import base64
import glob
import gzip
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import zipfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

BUILD_TOOL = "bench/tokenize_lines"
SPECIAL = 1  # TOKENIZE_SPECIAL


def unpack(data, name, folder, as_name=None):
    path = os.path.join(folder, as_name or os.path.basename(name))
    with gzip.open(os.path.join(data, "tokenizers", name + ".gz")) as f, open(path, "wb") as out:
        out.write(f.read())
    return path


# ---- references: each returns (path for wazn, preset, flags, function from a list of strings to lists of ids) ----

def by_tiktoken(data, folder, file, preset, pattern):
    path = unpack(data, file, folder)
    with open(path, "rb") as f:
        ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in f if line.strip())}
    encoding = tiktoken.Encoding(preset, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return path, preset, 0, lambda texts: [encoding.encode_ordinary(t) for t in texts]


def byte_level_spelling():
    """Byte to the printable character that stands for it."""
    itself = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in itself]
    return {**{b: chr(b) for b in itself}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def by_gguf(data, folder, file, preset, pattern, pre):
    """Ranks as the vocabulary and merges of a GGUF: every split of every piece in two pieces, as transformers does."""
    import gguf
    with open(unpack(data, file, folder), "rb") as f:
        ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in f if line.strip())}
    spelling = byte_level_spelling()
    spell = {piece: "".join(spelling[b] for b in piece) for piece in ranks}
    pieces, merges = sorted(ranks, key=ranks.get), []
    for piece in pieces:
        halves = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        splits = sorted((ranks[l], ranks[r], l, r) for l, r in halves if l in ranks and r in ranks)
        merges += [spell[l] + " " + spell[r] for _, _, l, r in splits]
    path = os.path.join(folder, "vocabulary.gguf")
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([spell[piece] for piece in pieces])
    writer.add_token_types([gguf.TokenType.NORMAL] * len(pieces))
    writer.add_token_merges(merges)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    encoding = tiktoken.Encoding(preset, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return path, "-", 0, lambda texts: [encoding.encode_ordinary(t) for t in texts]


def encode_all(tokenizer):
    return lambda texts: [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]


def gpt2(data, folder):
    vocab, merges = unpack(data, "gpt2/encoder.json", folder), unpack(data, "gpt2/vocab.bpe", folder)
    tokenizer = Tokenizer(models.BPE.from_file(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return vocab, "-", 0, encode_all(tokenizer)


def qwen2_tokenizer(vocab, merges, pattern):
    tokenizer = Tokenizer(models.BPE.from_file(vocab, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def qwen2(data, folder, pattern):
    vocab, merges = unpack(data, "qwen2/vocab.json", folder), unpack(data, "qwen2/merges.txt", folder)
    return vocab, "qwen2", 0, encode_all(qwen2_tokenizer(vocab, merges, pattern))


def qwen2_json(data, folder, pattern):
    """The same as a tokenizer.json, with its special tokens asked for."""
    vocab, merges = unpack(data, "qwen2/vocab.json", folder), unpack(data, "qwen2/merges.txt", folder)
    tokenizer = qwen2_tokenizer(vocab, merges, pattern)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    path = os.path.join(folder, "tokenizer.json")
    tokenizer.save(path)
    return path, "-", SPECIAL, encode_all(tokenizer)


def phi2(data, folder, special):
    path = unpack(data, "phi2/tokenizer.json", folder)
    tokenizer = Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = not special
    return path, "-", SPECIAL if special else 0, encode_all(tokenizer)


def llama2(data, folder, special):
    """The collection's file has lost its no-break spaces to plain ones, and tokenizers refuses it: put them back."""
    path = unpack(data, "llama2/tokenizer.json", folder)
    with open(path) as f:
        root = json.load(f)
    model = root["model"]
    model["vocab"] = {k.replace(" ", "\u00a0"): v for k, v in model["vocab"].items()}
    middles = {"   ": 1, "     ": 2, "\u2581  ": 1}
    pairs = []
    for merge in model["merges"]:
        at = middles[merge] if merge in middles else merge.index(" ")
        pairs.append([merge[:at].replace(" ", "\u00a0"), merge[at + 1:].replace(" ", "\u00a0")])
    model["merges"] = pairs
    with open(path, "w") as f:
        json.dump(root, f, ensure_ascii=False)
    tokenizer = Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = not special
    return path, "-", SPECIAL if special else 0, encode_all(tokenizer)


def write_tekken(data, folder):
    """The collection's compact form (ranks in one string) back to the real one."""
    with gzip.open(os.path.join(data, "tokenizers/mistral/tekken_240718.compact.json.gz")) as f:
        compact = json.load(f)
    vocab = []
    for line in compact["bpe_ranks"].splitlines():
        _, first, *tokens = line.split(" ")
        vocab += [{"rank": int(first) + i, "token_bytes": t, "token_str": None} for i, t in enumerate(tokens)]
    path = os.path.join(folder, "tekken.json")
    with open(path, "w") as f:
        json.dump({"config": compact["config"], "vocab": vocab}, f)
    return path


def tekken(data, folder):
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer
    path = write_tekken(data, folder)
    tokenizer = Tekkenizer.from_file(path)
    return path, "-", 0, lambda texts: [tokenizer.encode(t, bos=False, eos=False) for t in texts]


def references(data):
    with open(os.path.join(data, "tokenizers/special_tokens.json")) as f:
        known = json.load(f)
    pattern = {name: known[name]["pattern"] for name in known}
    return {
        "gpt2 ranks / tiktoken":
            lambda d: by_tiktoken(data, d, "gpt2/r50k_base.tiktoken", "gpt2", pattern["gpt2"]),
        "cl100k ranks / tiktoken":
            lambda d: by_tiktoken(data, d, "cl100k/cl100k_base.tiktoken", "cl100k", pattern["cl100k_base"]),
        "o200k ranks / tiktoken":
            lambda d: by_tiktoken(data, d, "o200k/o200k_base.tiktoken", "o200k", pattern["o200k_base"]),
        "o200k GGUF / tiktoken":
            lambda d: by_gguf(data, d, "o200k/o200k_base.tiktoken", "o200k", pattern["o200k_base"], "gpt-4o"),
        "llama3 ranks / tiktoken":
            lambda d: by_tiktoken(data, d, "llama3/tokenizer.model", "llama3", pattern["llama3"]),
        "tekken.json / mistral-common": lambda d: tekken(data, d),
        "gpt2 vocab+merges / tokenizers": lambda d: gpt2(data, d),
        "qwen2 vocab+merges / tokenizers": lambda d: qwen2(data, d, pattern["qwen2"]),
        "qwen2 tokenizer.json, special / tokenizers": lambda d: qwen2_json(data, d, pattern["qwen2"]),
        "phi2 tokenizer.json / tokenizers": lambda d: phi2(data, d, False),
        "phi2 tokenizer.json, special / tokenizers": lambda d: phi2(data, d, True),
        "llama2 tokenizer.json / tokenizers": lambda d: llama2(data, d, False),
        "llama2 tokenizer.json, special / tokenizers": lambda d: llama2(data, d, True),
    }


# ---- strings ----

def read_text(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as f:
        return f.read().decode("utf-8", "ignore")


def cut(text, lines):
    """The text's lines with their ends, and every `lines` of them together."""
    all_lines = text.splitlines(keepends=True)
    return all_lines + ["".join(all_lines[i:i + lines]) for i in range(0, len(all_lines), lines)]


def multilingual(data):
    texts = []
    for path in sorted(glob.glob(data + "/text/multilingual/*.gz") + glob.glob(data + "/text/ar/*.gz")):
        texts += cut(read_text(path), 40)
    with zipfile.ZipFile(data + "/text/multilingual/udhr2.zip") as z:
        for name in z.namelist():
            if not name.endswith("/"):
                texts.append(z.read(name).decode("utf-8", "ignore"))
    return texts


def code(build, limit):
    texts, size = [], 0
    paths = sorted(glob.glob(build + "/../src/**/*.[ch]", recursive=True) + glob.glob("/usr/include/*.h")
                   + glob.glob("/usr/include/linux/*.h") + glob.glob(os.path.dirname(os.__file__) + "/*.py"))
    for path in paths:
        text = read_text(path)
        size += len(text)
        if size > limit:
            break
        texts += cut(text, 60)
    return texts


def english(data, limit):
    return cut(read_text(data + "/text/tinyshakespeare.txt.gz")[:limit] + read_text(data + "/text/the-verdict.txt"), 40)


def ebooks(data):
    texts = []
    for path in sorted(glob.glob(data + "/text/standard_ebooks/*.zst")):
        text = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout.decode()
        texts += cut(text, 40)[len(text.splitlines()):]
    return texts


SEGMENTS = [
    list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), list("0123456789"), list("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~\\"),
    ["'s", "'S", "'t", "'re", "'RE", "'Ve", "'ve", "'m", "'ll", "'LL", "'lL", "'d", "'D", "'\u017f", "\u2019s", "'x", "''", "'"],
    [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028", "\u180e", "\u200b",
     " \n", "\n ", "\t\t", "        ", "\x0b", "\x0c"],
    ["hello", "world", "The", "HTTPServer", "fooBar", "camelCaseX", "caf\u00e9", "na\u00efve", "STRASSE", "stra\u00dfe", "I'm", "don't"],
    list("\u00e9\u00c9\u00df\u01c5\u01c8\u02b0\u02bc\u0130\u0131\u017f\u212a\u0149\u1e9e"),
    list("\u0627\u0644\u0639\u0631\u0628\u064a\u0629\u064e\u064f\u0650\u0651\u0652\u0640\u0660\u0661\u06f1"),
    list("\u05d0\u05d1\u05b8\u0905\u0928\u094d\u092e\u0938\u094d\u0924\u0947\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0967"),
    list("\u4e2d\u6587\u5b57\u7b26\u3042\u30a2\u30fc\u3001\u3002\uff01\uff21\uff11\U00020000\U00030000\U000323af\U000323b0\U00033479"),
    list("\ud55c\uad6d\uc5b4\u1100\u1161\u11a8\u1175\uac00\u11c3"),
    list("\u0300\u0301\u0308\u0323\u0327\u20e3\ufe0f\u200d\u0338\u0345\u1ab0\u3099"),
    ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1f8\U0001f1e6", "\u2764\ufe0f", "\U0001f44d\U0001f3fd", "1\ufe0f\u20e3",
     "\U0001f3f4\U000e0067\U000e0062\U000e007f"],
    list("\u00bd\u00b2\u2167\u2462\u3007\U0001d7d8\u0bf0\u1369"), list("\x00\x01\x07\x1b\x7f\ufeff\u200e\u202e\ufffd\ufffe\uffff"),
    list("\U0001d400\U0001d41a\u2100\u2126\u212b\ufb01\ufb2a\ufdfa\u0958\u09dc\u2adc\u0344\u0340\u0374\u1f71"),
    ["<|endoftext|>", "<|im_start|>", "<s>", "</s>", "<unk>", "<0x0A>", "<|im_end", "\u2581", "\u0120", "\u010a"],
]


def any_point(rng):
    while True:
        point = rng.randrange(rng.choice([0x300, 0x3000, 0x20000, 0x110000]))
        if not 0xD800 <= point <= 0xDFFF:
            return chr(point)


def fuzzed(count, seed):
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        pools = [rng.choice(SEGMENTS) for _ in range(rng.randint(1, 4))]
        parts = []
        for _ in range(rng.randint(1, rng.choice([4, 12, 40]))):
            if rng.random() < 0.03:
                parts.append(any_point(rng))
            elif rng.random() < 0.02:
                parts.append(rng.choice(rng.choice(pools)) * rng.randint(2, 90))
            else:
                parts.append(rng.choice(rng.choice(pools)))
        texts.append("".join(parts))
    return texts


# ---- running wazn ----

def run_wazn(build, path, preset, flags, texts):
    data = b"".join(struct.pack("<I", len(b)) + b for b in (t.encode() for t in texts))
    done = subprocess.run([os.path.join(build, BUILD_TOOL), path, preset, str(flags)], input=data, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())
    numbers, at, results, lost = memoryview(done.stdout).cast("i"), 0, [], 0
    for _ in texts:
        count = numbers[at]
        results.append(numbers[at + 1:at + 1 + count].tolist())
        lost += 1 - numbers[at + 1 + count]
        at += count + 2
    return results, lost, done.stderr.decode().strip()


def batches(texts, size):
    """Of about this many characters, so that the ids of one fit memory."""
    batch, used = [], 0
    for text in texts:
        batch.append(text)
        used += len(text)
        if used >= size:
            yield batch
            batch, used = [], 0
    if batch:
        yield batch


def compare(name, make, build, texts):
    with tempfile.TemporaryDirectory() as folder:
        path, preset, flags, encode = make(folder)
        differences = all_lost = 0
        for batch in batches(texts, 4000000):
            ours, lost, _ = run_wazn(build, path, preset, flags, batch)
            all_lost += lost
            for text, mine, theirs in zip(batch, ours, encode(batch)):
                if mine != theirs:
                    differences += 1
                    if differences <= 5:
                        print(f"  {text!r}\n    wazn  {mine}\n    other {theirs}", file=sys.stderr)
    return differences, all_lost


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("build")
    parser.add_argument("--fuzz", type=int, default=100000)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    made = references(args.data)
    texts = multilingual(args.data) + code(args.build, 4000000) + english(args.data, 600000) + ebooks(args.data)
    print(f"| tokenizer / reference | texts | fuzzed | MB | differences | do not decode to themselves |\n|---|---|---|---|---|---|")
    failed = 0
    for i, (name, make) in enumerate(made.items()):
        if args.only not in name:
            continue
        strings = texts + fuzzed(args.fuzz, i)
        differences, lost = compare(name, make, args.build, strings)
        size = sum(len(t.encode()) for t in strings) / 1e6
        print(f"| {name} | {len(texts)} | {args.fuzz} | {size:.1f} | {differences} | {lost} |", flush=True)
        failed += differences
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
