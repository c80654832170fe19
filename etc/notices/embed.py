#!/usr/bin/env python3
"""Writes the notices as C: embed.py OUTPUT NAME.txt ... makes notice_template_NAME of each."""
import json
import pathlib
import sys

out = ['#include "server/notice_text.h"\n']
for name in map(pathlib.Path, sys.argv[2:]):
    lines = name.read_text("ascii").splitlines(keepends=True)
    # A JSON string of ASCII is a C string.
    out.append(f"const char notice_template_{name.stem}[] =")
    out += ["\t" + json.dumps(line) for line in lines]
    out[-1] += ";\n"
pathlib.Path(sys.argv[1]).write_text("\n".join(out))
