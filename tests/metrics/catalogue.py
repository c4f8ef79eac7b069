#!/usr/bin/env python3
"""Every metric of the sources, as the table of docs/metrics.md: catalogue.py [--write]. Without --write it fails where the page
is not of these sources. Standard library only."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs/metrics.md")
BEGIN, END = "<!-- made by tests/metrics/catalogue.py --write -->", "<!-- end -->"
TREES = ("common", "daemons")
MACRO = re.compile(r"METRIC_(COUNTER|GAUGE|HISTOGRAM|HISTOGRAM_LABELLED|LABELLED)\(")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
UNITS = (("_seconds", "seconds"), ("_bytes", "bytes"), ("_tokens", "tokens"), ("_rounds", "rounds"), ("_ratio", "share"),
         ("_share", "share"), ("_frac", "share"), ("_pages", "pages"), ("_version", "version"))
NAMED = {"rlhfd_" + name: unit for unit, names in {
    "nats": "entropy row_distance kl_reference kl_behaviour kl_behaviour_k3 kl_token kl_token_k3 kl_mismatch kl_mismatch_k3",
    "rounds": "round lag_mean lag_max lag_expected lag_target lag_limit", "updates": "version lag_updates",
    "tokens": "length_mean decode_tokens tokens_trained tokens_generated", "share": "ess lag_ess success"}.items()
         for name in names.split()}


def arguments(text):
    """The top-level arguments of the call whose parenthesis has just been opened."""
    depth, begin, out = 0, 0, []
    at = 0
    while at < len(text):
        if text[at] == '"':
            at = LITERAL.match(text, at).end()
            continue
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            if depth == 0:
                return out + [text[begin:at].strip()]
            depth -= 1
        elif text[at] == "," and depth == 0:
            out.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    raise SystemExit("catalogue: a call without an end")


def literal(argument):
    return "".join(LITERAL.findall(argument)).replace('\\"', '"')


def label_of(argument):
    return sorted(set(re.findall(r'(\w+)=\\?"', argument)))


def entry(name, kind, text, labels, path):
    return {"name": name, "type": kind.lower(), "help": text, "labels": labels, "path": path}


def from_macro(kind, words, path):
    if kind == "LABELLED":
        kind, words = words[0].removeprefix("METRIC_KIND_"), words[1:]
        return entry(literal(words[0]), kind, literal(words[1]), label_of(words[2]), path)
    if kind == "HISTOGRAM_LABELLED":
        return entry(literal(words[0]), "histogram", literal(words[1]), label_of(words[2]), path)
    return entry(literal(words[0]), kind, literal(words[1]), [], path)


def table_of(path, table):
    """X(name, ...) rows of a table: the name, and the last argument, which is its help."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read().replace("\\\n", "\n")
    text = text[text.index(f"#define {table}(X)") + len(f"#define {table}(X)"):]
    for call in re.finditer(r"\bX\(", text[: text.index("// clang-format on")]):
        words = arguments(text[call.end():])
        yield words[0], words[1:-1], literal(words[-1])


def of_file(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read().replace("\\\n", "")
    for call in MACRO.finditer(text):
        words = arguments(text[call.end():])
        if words[0].endswith("_") or '"rlhfd_" #name' in words[0] or (words[0] == "METRIC_KIND_COUNTER" and words[1] == "name"):
            continue  # a macro's own definition, or one whose rows are elsewhere
        if words[-1] == "labels" or (call[1] == "HISTOGRAM_LABELLED" and words[2] == "labels"):
            words = [re.search(r'mem_printf\((".*?[^\\]")', text)[1] if word == "labels" else word for word in words]
        yield from_macro(call[1], words, path)
    for name, text_, kind in re.findall(r'\{"(process_\w+)", "([^"]*)", "(\w+)"\}', text):
        yield entry(name, kind, text_, [], path)
    for name, text_, kind in re.findall(r'put_head\(out, "(\w+)", "([^"]*)", "(\w+)"\)', text):
        yield entry(name, kind, text_, ["commit", "version"], path)
    for name, text_ in re.findall(r'OUTCOME_CODES\(OUTCOME, "(\w+)", "([^"]*)"\)', text):
        yield entry(name, "counter", text_, ["code"], path)


def catalogue():
    """{name: entry}, of all files."""
    found = {}
    for tree in TREES:
        for directory, _, names in os.walk(os.path.join(ROOT, tree)):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(directory, name), ROOT)
                if name.endswith((".c", ".h")) and path != "common/svc/metrics.h":
                    for one in of_file(path):
                        found.setdefault(one["name"], one)
    for name, where, text in table_of("daemons/learner/round/report.h", "ROUND_FIGURES"):
        if where == ["SHOWN"]:
            found["rlhfd_" + name] = entry("rlhfd_" + name, "gauge", text, [], "daemons/learner/round/report.h")
    for name, _, text in table_of("common/rl/figure_table.h", "RL_FIGURES"):
        found["rlhfd_" + name] = entry("rlhfd_" + name, "gauge", text, [], "common/rl/figure_table.h")
    return found


def where(path):
    """Who exposes it."""
    for prefix, who in (("daemons/learner", "learner"), ("daemons/generator", "generator"), ("daemons/rewarder", "rewarder"),
                        ("common/hop", "generator, rewarder"), ("common/rl", "learner"), ("common/weights", "learner, generator")):
        if path.startswith(prefix):
            return who
    return "all"


def unit(one):
    if one["name"] in NAMED:
        return NAMED[one["name"]]
    base = one["name"].removesuffix("_total")
    if base in NAMED:
        return NAMED[base]
    return next((word for suffix, word in UNITS if base.endswith(suffix)), "number")


def page():
    lines = ["| metric | type | unit | of | meaning |", "|---|---|---|---|---|"]
    for name, one in sorted(catalogue().items()):
        labels = "{" + ",".join(one["labels"]) + "}" if one["labels"] else ""
        text = one["help"].replace("|", "\\|")
        lines.append(f"| `{name}{labels}` | {one['type']} | {unit(one)} | {where(one['path'])} | {text} |")
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END):]
    return text, head + "\n" + "\n".join(lines) + "\n" + tail


def main():
    old, new = page()
    if "--write" in sys.argv[1:]:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(new)
    elif old != new:
        raise SystemExit("docs/metrics.md is not of these sources: tests/metrics/catalogue.py --write")


if __name__ == "__main__":
    main()
