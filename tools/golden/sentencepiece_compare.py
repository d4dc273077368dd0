# SPDX-License-Identifier: Apache-2.0
"""Compares wazn's SentencePiece tokenizers with the sentencepiece package: prints (tokenizer, strings, differences).

    python tools/golden/sentencepiece_compare.py --program build/bench/tokenize_lines --data DATA [--fuzz 100000]

The program (bench/tokenize_lines.c) gets a tokenizer's path and strings. With --speed the rates of one thread on the
collection's text are measured, too: processor time of encoding, calls of the package for one string each.
"""

import argparse
import array
import gzip
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import zipfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

SPACE = "\u2581"
FILES = [
    ("llama2", "tokenizers/llama2/tokenizer.model"),
    ("mistral v1", "tokenizers/mistral/tokenizer.model.v1"),
    ("mistral v3", "tokenizers/mistral/mistral_instruct_tokenizer_240323.model.v3"),
    ("mistral v7", "tokenizers/mistral/mistral_instruct_tokenizer_241114.model.v7"),
    ("babyllama105", "weights/babyllama105/tok105.model"),
    ("stories260K", "weights/stories260K/hf/tokenizer.model"),
]


def texts(data):
    """All multilingual text, code and emoji of the collection, as a list of strings (lines, and whole records)."""
    out = []
    for root in ("text/multilingual", "text"):
        folder = os.path.join(data, root)
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.endswith(".gz"):
                out += gzip.open(path).read().decode("utf-8", "replace").splitlines()
            elif name.endswith(".txt"):
                out += open(path, encoding="utf-8", errors="replace").read().splitlines()
            elif name.endswith(".zip"):
                archive = zipfile.ZipFile(path)
                for member in archive.namelist():
                    out += archive.read(member).decode("utf-8", "replace").splitlines()
    with gzip.open(os.path.join(data, "text/ar/tashkeela_val.txt.gz")) as f:
        out += f.read().decode().splitlines()
    with gzip.open(os.path.join(data, "reasoning/humaneval/HumanEval.jsonl.gz")) as f:
        for line in f:
            record = json.loads(line)
            out += [record["prompt"], record["prompt"] + record["canonical_solution"], record["test"]]
    with gzip.open(os.path.join(data, "instruct/llamafactory/glaive_toolcall_en_demo.json.gz")) as f:
        for record in json.load(f):
            out += [turn["value"] for turn in record["conversations"]] + [record["tools"]]
    return out


def fuzz(count, pieces, lines, seed):
    """Strings made of characters of many scripts, white space, pieces of the vocabulary and cut-outs of real text."""
    r = random.Random(seed)
    ranges = [
        (0x20, 0x7E),
        (0x20, 0x7E),
        (0xA0, 0x24F),
        (0x300, 0x36F),
        (0x370, 0x5FF),
        (0x600, 0x6FF),
        (0x900, 0xDFF),
        (0xE00, 0xFFF),
        (0x1100, 0x11FF),
        (0x2000, 0x2BFF),
        (0x3000, 0x30FF),
        (0x4E00, 0x9FFF),
        (0xAC00, 0xD7A3),
        (0xF900, 0xFDFF),
        (0xFE00, 0xFEFF),
        (0xFF00, 0xFFEF),
        (0x1F000, 0x1FAFF),
        (0x20000, 0x2A6DF),
        (1, 0x1F),
    ]
    spaces = [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u200b", SPACE, SPACE * 2, " " * 17]
    out = []
    for _ in range(count):
        parts = []
        for _ in range(r.randint(1, 12)):
            kind = r.random()
            if kind < 0.25:
                parts.append(r.choice(pieces))
            elif kind < 0.5:
                low, high = r.choice(ranges)
                parts += [chr(r.randint(low, high)) for _ in range(r.randint(1, 6))]
            elif kind < 0.7:
                parts.append(r.choice(spaces))
            elif kind < 0.85:
                line = r.choice(lines)
                at = r.randint(0, len(line))
                parts.append(line[at : at + r.randint(1, 20)])
            else:
                parts.append(r.choice("abcdeEAnt019.,:;()[]{}<>/\\\"'-_=+*&^%$#@!~`|?") * r.randint(1, 9))
        out.append("".join(parts))
    return out


def gemma_model(data, folder):
    """The Gemma vocabulary as a SentencePiece model, from the llama2.c layout, with types as published."""
    raw = gzip.open(os.path.join(data, "tokenizers/gemma/tokenizer.bin.gz")).read()
    count, at = struct.unpack("<II", raw[:8])[1], 8
    names = {0: "<pad>", 1: "<eos>", 2: "<bos>", 3: "<unk>"}
    m = proto.ModelProto()
    for i in range(count):
        score, length = struct.unpack("<fI", raw[at : at + 8])
        piece = names.get(i) or raw[at + 8 : at + 8 + length].decode().replace(" ", SPACE)
        at += 8 + length
        p = m.pieces.add(piece=piece, score=score)
        if i == 3:
            p.type = 2
        elif i < 3:
            p.type = 3
        elif 217 <= i < 473:
            p.type = 6
        elif i < 217 or score == 0.0 and i > 473:
            p.type = 4
    t, n = m.trainer_spec, m.normalizer_spec
    t.model_type, t.byte_fallback, t.vocab_size = 2, True, count
    t.unk_id, t.bos_id, t.eos_id, t.pad_id = 3, 2, 1, 0
    t.bos_piece, t.eos_piece = "<bos>", "<eos>"
    n.name, n.add_dummy_prefix, n.remove_extra_whitespaces, n.escape_whitespaces = "identity", False, False, True
    path = os.path.join(folder, "gemma.model")
    open(path, "wb").write(m.SerializeToString())
    return path


def trained(lines, folder):
    """Models trained on the collection's text for what no published model here covers."""
    sample = random.Random(5).sample([line for line in lines if 0 < len(line) < 400], 6000)
    variants = {
        "unigram nmt_nfkc": dict(model_type="unigram", normalization_rule_name="nmt_nfkc"),
        "unigram suffix": dict(
            model_type="unigram", normalization_rule_name="nmt_nfkc", treat_whitespace_as_suffix=True
        ),
        "unigram identity": dict(model_type="unigram", normalization_rule_name="identity", byte_fallback=True),
        "unigram user": dict(
            model_type="unigram",
            normalization_rule_name="nfkc_cf",
            remove_extra_whitespaces=False,
            user_defined_symbols=["<mask>", "the ", SPACE + "and", "ﷺ", "ab", "bc"],
        ),
        "bpe nmt_nfkc": dict(model_type="bpe", normalization_rule_name="nmt_nfkc", user_defined_symbols=["<x>", "##"]),
        "bpe no split": dict(
            model_type="bpe",
            normalization_rule_name="identity",
            split_by_whitespace=False,
            byte_fallback=True,
            add_dummy_prefix=False,
            max_sentence_length=500,
        ),
        "bpe suffix": dict(model_type="bpe", normalization_rule_name="nfkc", treat_whitespace_as_suffix=True),
    }
    out = []
    for name, options in variants.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sample),
            model_writer=model,
            vocab_size=6000,
            character_coverage=0.98,
            minloglevel=2,
            num_threads=1,
            hard_vocab_limit=False,
            **options
        )
        path = os.path.join(folder, name.replace(" ", "_") + ".model")
        open(path, "wb").write(model.getvalue())
        out.append((name, path))
    m = proto.ModelProto()
    m.ParseFromString(open(out[4][1], "rb").read())
    r = random.Random(7)
    for p in m.pieces:
        if p.type == 1 and len(p.piece) > 1 and r.random() < 0.2:
            p.type = 5
    path = os.path.join(folder, "unused.model")
    open(path, "wb").write(m.SerializeToString())
    return out + [("bpe unused pieces", path)]


def ours(program, path, strings):
    """Ids of each string, and the seconds that encoding took."""
    blob = b"".join(struct.pack("<I", len(b)) + b for b in (s.encode() for s in strings))
    done = subprocess.run([program, path, "-", "0"], input=blob, capture_output=True, check=True)
    numbers = array.array("I", done.stdout)
    ids, at = [], 0
    for _ in strings:
        ids.append(numbers[at + 1 : at + 1 + numbers[at]].tolist())
        at += numbers[at] + 2
    assert at == len(numbers)
    return ids, float(done.stderr.split()[-2])


def speed(program, path, strings):
    """Rates in MB/s of one thread: the library's, ours; the best of three runs."""
    sp = sentencepiece.SentencePieceProcessor(model_file=path)
    size = sum(len(s.encode()) for s in strings)
    theirs = mine = 1e9
    for _ in range(3):
        begin = time.process_time()
        for s in strings:
            sp.encode(s)
        theirs = min(theirs, time.process_time() - begin)
        mine = min(mine, ours(program, path, strings)[1])
    return size / theirs / 1e6, size / mine / 1e6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--fuzz", type=int, default=100000)
    parser.add_argument("--only", default="")
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    lines = [line for line in texts(arguments.data) if line]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        models = [(name, os.path.join(arguments.data, path)) for name, path in FILES]
        models.append(("gemma", gemma_model(arguments.data, folder)))
        models += trained(lines, folder)
        for name, path in models:
            if arguments.only not in name:
                continue
            sp = sentencepiece.SentencePieceProcessor(model_file=path)
            pieces = [sp.id_to_piece(i) for i in range(sp.vocab_size())]
            strings = lines + fuzz(arguments.fuzz, pieces, lines, 1)
            expected = [sp.encode(s) for s in strings]
            found = ours(arguments.program, path, strings)[0]
            wrong = [i for i in range(len(strings)) if expected[i] != found[i]]
            bad += len(wrong)
            rates = ""
            if arguments.speed:
                theirs, mine = speed(arguments.program, path, lines)
                rates = "  %6.2f MB/s, theirs %5.2f MB/s, ratio %.2f" % (mine, theirs, mine / theirs)
            print("%-20s %8d strings %6d differences%s" % (name, len(strings), len(wrong), rates), flush=True)
            for i in wrong[:3]:
                print(
                    "   ", ascii(strings[i])[:200], "\n      theirs", expected[i][:40], "\n      ours  ", found[i][:40]
                )
    sys.exit(bad != 0)


main()
