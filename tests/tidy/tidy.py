#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the tree that a compiler does not see. Prints every breach; exit status 1 if there is one.

Checked: the order of the floors in includes; lengths of functions, files and lines; banned calls; one SPDX line a file;
sources and tests that no meson.build lists; members of families (architectures, commands, chat formats, fuzz targets,
storage formats, kernels) that no test covers. `--selftest` breaks each rule once in a made tree and expects its report.
"""
import pathlib
import re
import sys
import tempfile

FUNCTION_LIMIT = 80        # no function is longer
FUNCTION_USUAL = 50        # nine in ten are at most this
FILE_LIMIT = 800
LINE_LIMIT = 120
BANNED = ("strcpy strcat strncpy strncat sprintf vsprintf gets strtok atoi atol atoll atof alloca system popen tmpnam "
          "mktemp rand srand").split()
BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
# The library speaks through errors and the log alone.
LIBRARY_BANNED = re.compile(r"(?<![\w.>])(printf|puts|perror|exit|_exit|getenv)\s*\(|\b(stdout|stderr)\b")
FOREIGN_WORDS = re.compile(r"/w[o]rk/|/f[a]rm/|py[p]i\.org|debian\.o[r]g")
TEXT_SUFFIXES = {".c", ".h", ".py", ".build", ".txt", ".md", ".sh", ".json", ""}


def strip_c(text):
    """Comments and literals blanked, line breaks kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", blank, text, flags=re.S)


def floors(root):
    text = (root / "src/meson.build").read_text()
    return re.findall(r"^subdir\('(\w+)'\)", text, flags=re.M)


def check_includes(root, files, report):
    order = {name: i for i, name in enumerate(floors(root))}
    for path in files:
        parts = path.relative_to(root).parts
        if parts[0] != "src" or parts[1] not in order:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            target = match.group(1).split("/")[0]
            if target == "wazn.h":
                if parts[1] not in ("api", "cli"):
                    report(path, number, "only api and cli may include wazn.h")
            elif target not in order:
                report(path, number, f'include "{match.group(1)}" does not name a floor')
            elif order[target] > order[parts[1]]:
                report(path, number, f"{parts[1]} includes {target}, which is above it")


def functions(text):
    """(name, first line, lines) of every function: from the line of its name to the closing brace in column 0."""
    lines = strip_c(text).split("\n")
    start = None
    for i, line in enumerate(lines):
        if line.startswith("{"):
            start = i
        elif line.startswith("}") and start is not None:
            head = start - 1
            while head > 0 and re.match(r"\s", lines[head]):
                head -= 1
            name = re.search(r"(\w+)\s*\(", " ".join(lines[head:start]))
            yield (name.group(1) if name else "?"), head + 1, i - head + 1
            start = None


def check_lengths(root, files, report):
    counts = []
    for path in files:
        text = path.read_text()
        lines = text.split("\n")
        if len(lines) - 1 > FILE_LIMIT:
            report(path, 1, f"{len(lines) - 1} lines, the limit is {FILE_LIMIT}")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_LIMIT:
                report(path, number, f"line of {len(line)} columns, the limit is {LINE_LIMIT}")
            if line != line.rstrip():
                report(path, number, "blanks at the end of a line")
        for name, number, length in functions(text):
            counts.append(length)
            if length > FUNCTION_LIMIT:
                report(path, number, f"function {name} has {length} lines, the limit is {FUNCTION_LIMIT}")
    long = sum(n > FUNCTION_USUAL for n in counts)
    if long * 10 > len(counts):
        report(root, 0, f"{long} of {len(counts)} functions are longer than {FUNCTION_USUAL} lines, one in ten is allowed")
    return len(counts), long


def check_calls(root, files, report):
    for path in files:
        in_library = path.relative_to(root).parts[0] == "src" and "cli" not in path.relative_to(root).parts
        for number, line in enumerate(strip_c(path.read_text()).split("\n"), 1):
            match = BANNED_CALL.search(line)
            if match:
                report(path, number, f"banned call {match.group(1)}")
            match = LIBRARY_BANNED.search(line) if in_library else None
            if match:
                report(path, number, f"the library must not use {match.group(1) or match.group(2)}")


def check_texts(root, report):
    for path in sorted(root.rglob("*")):
        rel = path.relative_to(root)
        if (not path.is_file() or rel.parts[0].startswith(("build", ".git")) or "corpus" in rel.parts
                or path.suffix not in TEXT_SUFFIXES or "__pycache__" in rel.parts):
            continue
        text = path.read_text(errors="replace")
        if FOREIGN_WORDS.search(text):
            report(path, 1, "names a machine path or a package index")
        if path.suffix in {".c", ".h", ".py", ".build", ".sh"} and text.count("SPDX-License-" "Identifier: Apache-2.0") != 1:
            report(path, 1, "needs exactly one SPDX line")


def check_listed(root, report):
    """Every .c file stands in the meson.build of its floor or of its test folder."""
    for path in sorted([*root.glob("src/**/*.c"), *root.glob("tests/**/*.c"), *root.glob("bench/*.c"),
                        *root.glob("examples/*.c")]):
        builds = [f / "meson.build" for f in path.parents if f.is_relative_to(root) and (f / "meson.build").exists()]
        stem = re.sub(r"^test_", "", path.stem)
        pattern = rf"['/](?:test_)?{re.escape(stem)}(?:\.c)?'"
        if not builds or not re.search(pattern, builds[0].read_text()):
            report(path, 1, "not listed in the meson.build of its folder")


def joined(paths):
    return "\n".join(p.read_text(errors="replace") for p in paths)


def check_families(root, report):
    golden = root / "tests/golden"
    model_cases = joined(sorted(golden.glob("data/models/*.json")))
    for path in sorted(root.glob("src/model/arch/*.c")):
        for name in re.findall(r"const struct arch arch_\w+ = \{\s*(?:\.name = )?\"(\w+)\"", path.read_text()):
            if f'"{name}"' not in model_cases:
                report(path, 1, f"architecture {name} has no golden model in tests/golden/data/models")
    e2e = joined([p for p in sorted(root.glob("tests/e2e/*")) if p.is_file()])
    for path in sorted(root.glob("src/cli/command/*.c")):
        for name in re.findall(r"const struct command command_\w+ = \{\s*(?:\.name = )?\"(\w+)\"", path.read_text()):
            if f'"{name}"' not in e2e:
                report(path, 1, f"command {name} is run by no test in tests/e2e")
    chats = joined(sorted(golden.glob("data/chat/*.json")) + sorted(golden.glob("*.c")))
    for path in sorted(root.glob("src/text/chat/*.c")):
        for name in re.findall(r"const struct chat_format chat_\w+ = \{\s*(?:\.name = )?\"([\w.-]+)\"", path.read_text()):
            if f'"{name}"' not in chats:
                report(path, 1, f"chat format {name} has no golden conversation")
    tests = joined(sorted(root.glob("tests/**/*.c")))
    for header, macro in (("src/tensor/format.h", "FORMATS"), ("src/kernel/kernel.h", "KERNELS")):
        path = root / header
        if path.exists() and not re.search(rf"\b{macro}\(|\bFORMAT_COUNT\b" if macro == "FORMATS" else rf"\b{macro}\(", tests):
            report(path, 1, f"no test loops over {macro}")
    check_fuzz(root, report)


def check_fuzz(root, report):
    folder = root / "tests/fuzz"
    for path in sorted(folder.glob("*.c")):
        if "LLVMFuzzerTestOneInput" not in path.read_text() or path.name == "replay.c":
            continue
        corpus = folder / "corpus" / path.stem
        if not corpus.is_dir() or not any(corpus.iterdir()):
            report(path, 1, "has no corpus")


def check(root):
    breaches = []

    def report(path, number, text):
        breaches.append(f"{path.relative_to(root) if path != root else '.'}:{number}: {text}")

    files = sorted(p for top in ("src", "include", "tests", "bench", "examples") for p in (root / top).rglob("*.[ch]"))
    check_includes(root, files, report)
    n_functions, long = check_lengths(root, files, report)
    check_calls(root, files, report)
    check_texts(root, report)
    check_listed(root, report)
    check_families(root, report)
    return breaches, f"{len(files)} files, {n_functions} functions, {long} longer than {FUNCTION_USUAL} lines"


SPDX = "/* SPDX-License-" "Identifier: Apache-2.0 */\n"
BREACHES = {  # file, content, words its report must hold
    "src/base/up.c": ('#include "cli/main.h"\n', "which is above it"),
    "src/base/odd.c": ('#include "nowhere/x.h"\n', "does not name a floor"),
    "src/base/long.c": ("int f(void)\n{\n" + "    f();\n" * 79 + "}\n", "the limit is 80"),
    "src/base/big.c": ("\n" * 800, "the limit is 800"),
    "src/base/wide.c": ("/* " + "x" * 120 + " */\n", "the limit is 120"),
    "src/base/copy.c": ("int f(char *a)\n{\n    return strcpy(a, a) != 0;\n}\n", "banned call strcpy"),
    "src/base/speak.c": ('void f(void)\n{\n    printf("x");\n}\n', "must not use printf"),
    "src/base/bare.h": (None, "SPDX"),
    "src/base/unlisted.c": ("", "not listed"),
    "src/model/arch/none.c": ('const struct arch arch_none = { "none" };\n', "has no golden model"),
    "src/cli/command/none.c": ('const struct command command_none = { "none" };\n', "no test in tests/e2e"),
    "src/text/chat/none.c": ('const struct chat_format chat_none = { "none" };\n', "no golden conversation"),
    "tests/fuzz/none.c": ("int LLVMFuzzerTestOneInput(void);\n", "has no corpus"),
    "docs/where.md": ("see /wo" "rk/x\n", "machine path"),
}


def selftest():
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "src").mkdir()
        (root / "src/meson.build").write_text("# SPDX-License-" "Identifier: Apache-2.0\nsubdir('base')\nsubdir('cli')\n")
        for name, (content, _) in BREACHES.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("" if content is None else content if path.suffix == ".md" else SPDX + content)
        breaches, _ = check(root)
        for name, (_, words) in BREACHES.items():
            if not any(b.startswith(name + ":") and words in b for b in breaches):
                print(f"selftest: the breach in {name} was not reported ({words})")
                failures += 1
    return failures


def main():
    if sys.argv[1:] == ["--selftest"]:
        sys.exit(1 if selftest() else 0)
    breaches, summary = check(pathlib.Path(sys.argv[1]).resolve())
    for line in breaches:
        print(line)
    print(f"{summary}, {len(breaches)} breaches")
    sys.exit(1 if breaches else 0)


main()
