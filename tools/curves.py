#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Take plots out of a run's page, as pictures of their own: python3 tools/curves.py RUN/report.html OUT.svg [TITLE]

TITLE is the plot's ("loss", "margin"); the first one where it is left out. Nothing of a picture is changed but the colours,
which pages set and files do not: those of light screens, on white.
"""
import pathlib
import re
import sys

PLOT = re.compile(r"<svg.*?</svg>", re.S)


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__.split("\n", 1)[0])
    page, out, title = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else ""
    for plot in PLOT.findall(pathlib.Path(page).read_text()):
        if f"<title>{title}" not in plot:
            continue
        plot = re.sub(r"var\(--line-\d,(#\w+)\)", r"\1", plot)
        head = plot.index("</title>") + len("</title>")
        pathlib.Path(out).write_text(plot[:head] + '<rect width="100%" height="100%" fill="#fff"/>' + plot[head:] + "\n")
        return
    sys.exit(f"curves: {page} has no plot \"{title}\"")


main()
