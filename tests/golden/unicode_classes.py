#!/usr/bin/env python3
# needs: tokenizers==0.23.3
# run: python tests/golden/unicode_classes.py > common/model/text/unicode_table.c
"""Writes common/model/text/unicode_table.c: the code points that Hugging Face's tokenizers take for \\p{L}, \\p{N} and \\s.

    python3 tests/golden/unicode_classes.py > common/model/text/unicode_table.c

Needs the package tokenizers (only here). Each code point is put between others and the pre-tokenizer's cuts tell its class.
"""
import sys
import tokenizers
from tokenizers import pre_tokenizers

SPLIT = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def pieces(text):
    return len(SPLIT.pre_tokenize_str(text))


def class_of(code):
    c = chr(code)
    if pieces("a" + c) == 1:
        return "L"
    if pieces("1" + c) == 1:
        return "N"
    if pieces("." + c) == 1:
        return "-"
    return "S"


def table(classes, wanted):
    rows, start = [], None
    for code, kind in enumerate(classes + ["-"]):
        if kind == wanted and start is None:
            start = code
        elif kind != wanted and start is not None:
            rows.append((start, code - 1))
            start = None
    return rows


def main():
    classes = ["-" if 0xD800 <= code <= 0xDFFF else class_of(code) for code in range(0x110000)]
    print(f"/* Generated from tokenizers {tokenizers.__version__} by\n"
          " *     python3 tests/golden/unicode_classes.py > common/model/text/unicode_table.c\n"
          " * Do not edit. */\n#include \"model/text/unicode.h\"\n\n// clang-format off")
    for kind, name in (("L", "letter"), ("N", "number"), ("S", "space")):
        rows = table(classes, kind)
        print(f"const struct unicode_range unicode_{name}[] = {{")
        line = "   "
        for first, last in rows:
            item = f" {{0x{first:x}, 0x{last:x}}},"
            if len(line) + len(item) > 98:
                print(line)
                line = "   "
            line += item
        print(line + f"\n}};\nconst int unicode_{name}_count = {len(rows)};\n")
    print("// clang-format on")
    print({kind: classes.count(kind) for kind in "LNS"}, file=sys.stderr)


main()
