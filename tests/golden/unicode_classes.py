#!/usr/bin/env python3
# needs: tokenizers==0.23.3
"""Writes common/model/text/unicode_table.c and unicode_odd.c: what Hugging Face's tokenizers take code points for.

Needs the package tokenizers (only here) and libutf8proc2. Its parts know different versions of Unicode: each property is asked of
the part that uses it, and written as general categories with the code points that differ from them.
"""
import contextlib
import ctypes
import os

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
# In the order of enum unicode_category; a letter each, from A.
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
BLOCK, FLAT = 128, 0x20000
LETTER, MARK, SPACE, OTHER = "Lu Ll Lt Lm Lo", "Mn Mc Me", "Zs Zl Zp", "Nd Pc"


def removed(step):
    """The code points that a pre-tokenizer removes."""
    found = set()
    for at in range(0, len(CODES), 1 << 14):
        part, left = CODES[at:at + (1 << 14)], set()
        for _, (first, end) in step.pre_tokenize_str("".join(map(chr, part))):
            left.update(range(first, end))
        found.update(code for i, code in enumerate(part) if i not in left)
    return found


def split(regex):
    return removed(pre_tokenizers.Split(Regex(regex), "removed"))


def properties():
    accents, digits, words = normalizers.StripAccents(), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Whitespace()
    yield "WORD", LETTER + " " + MARK + " " + OTHER, split(r"\w")
    yield "RUST_WORD", LETTER + " " + MARK + " " + OTHER, {c for c in CODES if words.pre_tokenize_str("a" + chr(c))[0][1] == (0, 2)}
    yield "SPACE", SPACE, split(r"\s")
    yield "NUMERIC", "Nd Nl No", {c for c in CODES if len(digits.pre_tokenize_str("a" + chr(c))) == 2}
    yield "PUNCTUATION", "Pc Pd Ps Pe Pi Pf Po", removed(pre_tokenizers.Punctuation("removed"))
    yield "ACCENT", MARK, {c for c in CODES if accents.normalize_str(chr(c)) == ""}
    yield "HAN", "", split(r"\p{Han}")


# ---- normal forms: where utf8proc differs, tokenizers knows the code point for one that nothing is done with

LIB = ctypes.CDLL("libutf8proc.so.2")
LIB.utf8proc_map.restype = ctypes.c_ssize_t
LIB.utf8proc_tolower.restype = ctypes.c_int32
STABLE, COMPAT, COMPOSE, DECOMPOSE = 2, 4, 8, 16


def utf8proc(text, options):
    data, out = text.encode(), ctypes.c_void_p()
    count = LIB.utf8proc_map(data, ctypes.c_ssize_t(len(data)), ctypes.byref(out), STABLE | options)
    result = ctypes.string_at(out, count).decode()
    ctypes.CDLL(None).free(out)
    return result


def inert(forms):
    """The code points whose forms differ, alone or between marks, and what they are composed of."""
    around = ("%s", "a\u0315%s", "a%s\u0334", "a\u0323%s\u0301")
    found = {c for c in CODES if c > 0x2FF and any(form.normalize_str(a % chr(c)) != utf8proc(a % chr(c), options)
                                                   for form, options in forms for a in around)}
    # What utf8proc takes apart it also composes: the later parts are not to be joined.
    return found | {ord(part) for c in found for part in utf8proc(chr(c), DECOMPOSE)[1:]}


def lower():
    form = normalizers.Lowercase()
    for code in CODES:
        want = form.normalize_str(chr(code))
        if want != chr(LIB.utf8proc_tolower(code)):
            yield code, want


# ---- as C

def ranges(codes):
    rows = []
    for code in sorted(codes):
        if rows and rows[-1][1] == code - 1:
            rows[-1][1] = code
        else:
            rows.append([code, code])
    return rows


def wrapped(items):
    line = "   "
    for item in items:
        if len(line) + len(item) > 98:
            print(line)
            line = "   "
        line += item
    print(line)


def table(name, codes):
    print(f"static const struct unicode_range {name}[] = {{" if "odd" in name else f"const struct unicode_range {name}[] = {{")
    rows = ranges(codes)
    wrapped([f" {{0x{first:x}, 0x{last:x}}}," for first, last in rows])
    print(f"}};\n{'static ' if 'odd' in name else ''}const int {name}_count = {len(rows)};\n")


def categories():
    of = {}
    for name in CATEGORIES:
        if name != "Cs":
            of.update((code, name) for code in split(r"\p{%s}" % name))
    return of


HERE = os.path.dirname(os.path.abspath(__file__))


@contextlib.contextmanager
def written(name):
    with open(os.path.join(HERE, "../../common/model/text", name), "w") as out, contextlib.redirect_stdout(out):
        print(f"/* Generated from tokenizers {tokenizers.__version__} by tests/golden/unicode_classes.py. Do not edit. */\n"
              "#include \"model/text/unicode_table.h\"\n\n// clang-format off")
        yield
        print("// clang-format on")


def write_categories(of):
    letter = {name: chr(ord("A") + i) for i, name in enumerate(CATEGORIES)}
    blocks, index = {}, []
    for first in range(0, FLAT, BLOCK):
        block = "".join(letter[of.get(code, "Cs")] for code in range(first, first + BLOCK))
        index.append(blocks.setdefault(block, len(blocks)))
    print("/* General categories of the first planes: letters from A, in the order of enum unicode_category. */")
    print("const char unicode_block[] =")
    text = "".join(blocks)
    for at in range(0, len(text), 92):
        print('    "%s"' % text[at:at + 92].replace("\\", "\\\\"))
    print(";\n\nconst unsigned char unicode_block_of[] = {")
    wrapped([f" {i}," for i in index])
    print("};\n\n/* Of the other planes; what is in none is Cn. */\nconst struct unicode_run unicode_run[] = {")
    runs = [(a, b, name) for name in CATEGORIES for a, b in ranges(c for c in CODES if c >= FLAT and of[c] == name and name != "Cn")]
    wrapped([f" {{0x{a:x}, 0x{b:x}, '{letter[name]}'}}," for a, b, name in sorted(runs)])
    print(f"}};\nconst int unicode_run_count = {len(runs)};")


def write_odd(of):
    rows = []
    for name, wanted, codes in properties():
        wanted = wanted.split()
        table("unicode_odd_" + name.lower(), {c for c in CODES if (c in codes) != (of[c] in wanted)})
        mask = sum(1 << CATEGORIES.index(one) for one in wanted)
        rows.append(f"    {{0x{mask:x}, unicode_odd_{name.lower()}, &unicode_odd_{name.lower()}_count}}, // {name}")
    print("const struct unicode_set unicode_sets[] = {\n" + "\n".join(rows) + "\n};\n")
    canonical = inert([(normalizers.NFC(), COMPOSE), (normalizers.NFD(), DECOMPOSE)])
    compatible = inert([(normalizers.NFKC(), COMPOSE | COMPAT), (normalizers.NFKD(), DECOMPOSE | COMPAT)])
    table("unicode_inert", canonical)
    table("unicode_inert_compatible", compatible - canonical)
    low = list(lower())
    print("const struct unicode_lower unicode_lower[] = {")
    wrapped([" {0x%x, {%s}}," % (code, ", ".join(hex(ord(c)) for c in text)) for code, text in low])
    print(f"}};\nconst int unicode_lower_count = {len(low)};")


def main():
    of = categories()
    with written("unicode_table.c"):
        write_categories(of)
    with written("unicode_odd.c"):
        write_odd(of)


main()
