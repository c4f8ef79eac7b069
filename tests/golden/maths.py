#!/usr/bin/env python3
# needs: math-verify==0.9.0 antlr4-python3-runtime==4.13.2
"""Writes tests/golden/maths.json: pairs of answers and whether they are the same, by construction. A pair is a wanted answer as
sympy writes it in LaTeX, and another form of it (same) or of its neighbour (not the same). math-verify says what it thinks of each;
where it differs, the pair is left out and told on standard error, as one of the two witnesses is wrong.

    tests/golden/maths.py [--count N] [--seed N]
    tests/golden/maths.py --compare SCORE [--count N]   -- agreement of "rlhfd-rewarder ... --job score" with math-verify on all pairs
"""
import argparse
import json
import logging
import os
import random
import subprocess
import sys

import sympy
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

HERE = os.path.dirname(os.path.abspath(__file__))
X, Y = sympy.symbols("x y")
CONFIG = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]


def rational(rng):
    return sympy.Rational(rng.randint(-99, 99), rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 16, 25, 60]))


def latex(value, rng):
    """Many hands write the same."""
    text = sympy.latex(value)
    for before, after in ((r"\frac", r"\dfrac"), (r"\left", ""), (" ", ""), (r"\sqrt", r" \sqrt "), ("{2}", "{ 2 }")):
        if rng.random() < 0.2:
            text = text.replace(before, after) if before != r"\left" else text.replace(r"\left", "").replace(r"\right", "")
    return text


def number(rng):
    value = rational(rng)
    other = value + rng.choice([1, -1, sympy.Rational(1, value.q + 1)])
    k = rng.randint(2, 9)
    sign = "-" if value < 0 else ""

    def forms(v, s):
        p, q = abs(v.p), v.q
        yield latex(v, rng)
        yield f"{s}\\frac{{{p * k}}}{{{q * k}}}"
        yield f"{s}{p}/{q}"
        if v.q in (1, 2, 4, 5, 8, 16, 25):
            yield str(v.p / v.q)
        if p > q > 1:
            yield f"{s}{p // q}\\frac{{{p % q}}}{{{q}}}" if not s else latex(v, rng)
    return latex(value, rng), rng.choice(list(forms(value, sign))), rng.choice(list(forms(other, "-" if other < 0 else "")))


def root(rng):
    a, b, c = rational(rng), rng.randint(2, 60), rng.randint(1, 9)
    value = a + c * sympy.sqrt(b)
    same = sympy.nsimplify(a) + sympy.sqrt(b * c * c)
    text = f"{latex(a, rng)} + \\sqrt{{{b * c * c}}}" if rng.random() < 0.5 else latex(same, rng)
    return latex(value, rng), text, latex(value + rng.choice([1, sympy.sqrt(2), -2 * c * sympy.sqrt(b)]), rng)


def polynomial(rng):
    roots = [rng.randint(-9, 9) for _ in range(rng.randint(1, 3))]
    product = sympy.Mul(*[(X - r) for r in roots]) * rng.choice([1, 2, -3])
    other = sympy.expand(product) + rng.choice([1, X, -Y])
    return latex(sympy.expand(product), rng), latex(product, rng), latex(sympy.expand(other), rng)


def quotient(rng):
    a, b, c = rng.randint(1, 9), rng.randint(1, 9), rng.randint(-9, 9)
    value = 1 / (X + a) + sympy.Integer(b) / (X + c + int(a == c))
    return latex(value, rng), latex(sympy.together(value), rng), latex(sympy.together(value + sympy.Integer(1) / (X * X + 1)), rng)


def transcendental(rng):
    n, m = rng.randint(1, 9), rng.randint(2, 12)
    value, same = rng.choice([
        (n * sympy.pi / m, sympy.pi * n / m), (sympy.log(m ** 2 + 1) * n, sympy.log((m ** 2 + 1) ** n, evaluate=False)),
        (sympy.sin(X) ** 2, 1 - sympy.cos(X) ** 2), (sympy.exp(X + n), sympy.exp(n) * sympy.exp(X)),
        (sympy.sin(2 * X) * n, 2 * n * sympy.sin(X) * sympy.cos(X)), (sympy.sqrt(m) ** 3, m * sympy.sqrt(m)),
    ])
    return latex(value, rng), latex(same, rng), latex(same + rng.choice([1, sympy.pi / 7]), rng)


def listed(rng):
    values = rng.sample(range(-20, 20), rng.randint(2, 4))
    shuffled = values[:]
    rng.shuffle(shuffled)
    shape = rng.choice(["{}", "()", ""])
    opened, closed = {"{}": ("\\{", "\\}"), "()": ("(", ")"), "": ("", "")}[shape]

    def text(v):
        return opened + ", ".join(map(str, v)) + closed
    other = values[:]
    other[rng.randrange(len(other))] += rng.choice([50, -50])
    return text(values), text(values if shape == "()" else shuffled), text(other)


def interval(rng):
    a = rng.randint(-20, 10)
    b = a + rng.randint(1, 20)
    left, right = rng.choice(["(", "["]), rng.choice([")", "]"])
    return f"{left}{a}, {b}{right}", f"\\left{left}{a},{b}\\right{right}", f"{left}{a}, {b}{')' if right == ']' else ']'}"


def large(rng):
    value = rng.randint(10 ** 6, 10 ** rng.randint(7, 40))
    grouped = f"{value:,}"
    return str(value), rng.choice([grouped, grouped.replace(",", "{,}"), str(value)]), str(value + rng.choice([1, -1, 10]))


def matrix(rng):
    value = sympy.Matrix(2, 2, [rational(rng) for _ in range(4)])
    other = value + sympy.Matrix([[0, 0], [0, 1]])

    def text(v, kind):
        rows = " \\\\ ".join(" & ".join(sympy.latex(v[i, j]) for j in range(2)) for i in range(2))
        return f"\\begin{{{kind}}} {rows} \\end{{{kind}}}"
    return text(value, "pmatrix"), text(value, "bmatrix"), text(other, "pmatrix")


MAKERS = [number, number, root, polynomial, quotient, transcendental, listed, interval, large, matrix]


def opinion(want, got):
    try:
        return bool(verify(parse(f"$\\boxed{{{want}}}$", CONFIG), parse(f"$\\boxed{{{got}}}$", CONFIG)))
    except Exception:  # it has no opinion
        return None


def pairs(count, seed):
    """[wanted, answer, the same by construction, math-verify's opinion]"""
    rng = random.Random(seed)
    for i in range(count):
        want, same, other = MAKERS[i % len(MAKERS)](rng)
        got, truth = (same, True) if rng.random() < 0.5 else (other, False)
        yield [want, got, truth, opinion(want, got)]


def compare(rewarder, all_pairs):
    import tempfile
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as recipe:
        recipe.write("rewarder:\n  scorers: [{kind: verify, check: math, column: answer, extract: boxed}]\n")
        recipe.flush()
        lines = "".join(json.dumps({"row": {"answer": want}, "text": f"\\boxed{{{got}}}"}) + "\n" for want, got, _, _ in all_pairs)
        done = subprocess.run([rewarder, recipe.name, "--job", "score"], input=lines, capture_output=True, text=True, check=True)
    ours = [json.loads(line)["scores"][0] == 1 for line in done.stdout.splitlines()]
    for (want, got, truth, theirs), mine in zip(all_pairs, ours):
        if mine != truth:
            print(f"ours {mine}, math-verify {theirs}, by construction {truth}: {want} | {got}")
    print(json.dumps({"pairs": len(ours), "ours_right": sum(m == p[2] for m, p in zip(ours, all_pairs)),
                      "math_verify_right": sum(p[3] == p[2] for p in all_pairs),
                      "agree": sum(m == p[3] for m, p in zip(ours, all_pairs))}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compare")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    made = list(pairs(options.count, options.seed))
    if options.compare:
        compare(options.compare, made)
        return
    kept = [p[:3] for p in made if p[3] == p[2]]
    for want, got, truth, theirs in made:
        if theirs != truth:
            print(f"left out: {want} | {got}: {truth}, math-verify says {theirs}", file=sys.stderr)
    with open(os.path.join(HERE, "maths.json"), "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(p) for p in kept) + "\n]\n")


if __name__ == "__main__":
    main()
