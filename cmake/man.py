#!/usr/bin/env python3
"""man.py BIN OUT VERSION: the manual pages, from what the programs say of themselves.

rlhfctl(1) from `rlhfctl --help` and each COMMAND --help, rlhfd-learner(8), -generator(8), -rewarder(8) from their --help, and
rlhfd-recipe(5) from `rlhfctl recipe`, which prints the one table of options. Same programs, same bytes: no date is written.
"""
import re
import subprocess
import sys
from pathlib import Path

DAEMONS = ("learner", "generator", "rewarder")
FILES = {
    "/etc/rlhfd/recipe.yaml": "the recipe of the systemd units",
    "/var/lib/rlhfd/run": "the run of the systemd units",
}


def said(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60).stdout.decode()


def plain(text):
    """Roff text: nothing in it is a request or an escape."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti")
    return "\n".join("\\&" + line if line.startswith(".") else line for line in text.split("\n"))


def markdown(text):
    """One line of Markdown: `code` is bold."""
    parts = re.split(r"`([^`]*)`", text.replace("\\|", "|"))
    return "".join(f"\\fB{plain(part)}\\fR" if i % 2 else plain(part) for i, part in enumerate(parts))


def head(name, section, version, what):
    return [f'.TH {name.upper()} {section} "" "rlhfd {version}" "rlhfd"', ".SH NAME", f"{name} \\- {plain(what)}"]


def also(*pages):
    return [".SH SEE ALSO", " ,\n".join(f".BR {name} ({section})" for name, section in pages)]


def literal(lines):
    return [".nf", *(plain(line) for line in lines), ".fi"]


def paragraphs(lines):
    """Running text of --help; a blank line begins a paragraph."""
    out = []
    for line in lines:
        out.append(plain(line) if line.strip() else ".PP")
    return out


def flags(lines):
    """Rows of "  --flag VALUE    help"; a row that has no flag goes on with the one before."""
    out = []
    for line in lines:
        row = re.match(r"  (-\S.*?)(?:\s{2,}|$)(.*)", line)
        if row:
            out += [".TP", f"\\fB{plain(row[1])}\\fR", plain(row[2])]
        elif line.strip():
            out.append(plain(line.strip()))
    return out


def parts_of(text):
    """--help as its head and its titled parts: {"": [...], "Flags": [...], ...}."""
    parts, name = {"": []}, ""
    for line in text.rstrip().split("\n"):
        title = re.match(r"([A-Z][A-Za-z ]*):$", line)
        if re.match(r"Options of the recipe|Each entry of", line):
            break
        name = title[1] if title else name
        if title:
            parts[name] = []
        else:
            parts[name].append(line)
    return parts


def daemon(program, version):
    parts = parts_of(said(program, "--help"))
    name = Path(program).name
    lines = [line for line in parts[""] if line.strip()]
    out = head(name, 8, version, lines[0].rstrip(".")[0].lower() + lines[0].rstrip(".")[1:])
    out += [".SH SYNOPSIS", *literal([lines[1].removeprefix("usage: ")])]
    out += [".SH DESCRIPTION", *paragraphs(lines[2:]), "One of the daemons of a run. \\fBrlhfctl up\\fR starts all of them on one machine."]
    out += [".SH OPTIONS", *flags(parts["Flags"])]
    for title, rows in parts.items():
        if title not in ("", "Flags"):
            out += [f".SH {plain(title.upper())}", *literal(rows)]
    out += [".SH FILES"]
    for path, what in FILES.items():
        out += [".TP", f"\\fI{plain(path)}\\fR", what]
    return out + also(("rlhfctl", 1), ("rlhfd\\-recipe", 5))


def rlhfctl(program, version):
    overview = said(program, "--help")
    rows = re.findall(r"^  (\S(?:.*?\S)?)  +(\S.*)$", overview, re.M)
    out = head("rlhfctl", 1, version, "train language models from feedback while they generate")
    out += [".SH SYNOPSIS", ".B rlhfctl", ".I COMMAND", ".RI [ ARGUMENTS ]", ".SH DESCRIPTION"]
    out += ["The one client of rlhfd: it starts runs, looks at them and steers them.", ".SH COMMANDS"]
    for command, what in rows:
        parts = parts_of(said(program, *command.split(), "--help"))
        out += [f'.SS "{plain(command)}"', plain(what[0].upper() + what[1:]) + "."]
        lines = [line for line in parts[""] if line.strip()]
        usage = [line for line in lines if line.lower().startswith("usage: ")]
        out += literal(line[len("usage: ") :] for line in usage)
        out += [".PP", *paragraphs([line for line in lines if line not in usage])]
        out += flags(parts.get("Flags", []))
        if "Examples" in parts:
            out += [".PP", "Examples:", *literal(parts["Examples"])]
    return out + also(*((f"rlhfd\\-{name}", 8) for name in DAEMONS), ("rlhfd\\-recipe", 5))


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]


def option(section, titles, row):
    """A key of a section, or of an entry of a list (whose heading has blanks; no column for live)."""
    of = dict(zip((title or "live" for title in titles), row))
    listed = " " in section or section == "rewarder.scorers"
    name = of["key"].strip("`") if listed else f"{section}.{of['key'].strip('`')}"
    live = "live, " if of.get("live") else ""
    out = [".TP", f"\\fB{plain(name)}\\fR ({live}{markdown(of['type'])}, default {markdown(of['default'])})"]
    return out + [markdown(of["what it is"]) + ".", f"Allowed: {markdown(of['allowed'])}."]


def row_of(titles, row):
    filled = [f"{plain(title)}: {markdown(cell)}" for title, cell in zip(titles[1:], row[1:]) if cell and title]
    return [".TP", markdown(row[0]), ".br\n".join(text + "\n" for text in filled).rstrip("\n") or "\\&"]


def recipe(program, version):
    """The Markdown of `rlhfctl recipe`: titles, text, lists, fenced lines and tables."""
    out = head("rlhfd-recipe", 5, version, "the settings of a run")
    section, titles, fenced = "", None, False
    out.append(".SH DESCRIPTION")
    for line in said(program, "recipe").rstrip().split("\n"):
        title = re.match(r"(#+) (.*)", line)
        if line.startswith("```"):
            fenced = not fenced
            out.append(".nf" if fenced else ".fi")
        elif fenced:
            out.append(plain(line))
        elif title and len(title[1]) > 1:
            section = title[2].strip()
            out.append(f'.S{"H" if len(title[1]) == 2 else "S"} "{markdown(section)}"')
        elif title or re.match(r"\|[-|: ]+\|$", line):
            continue
        elif line.startswith("|"):
            row = cells(line)
            if titles is None:
                titles = row
            else:
                out += option(section, titles, row) if titles[:4] == ["key", "default", "type", "allowed"] else row_of(titles, row)
            continue
        else:
            out.append(markdown(line) if line.strip() else ".PP")
        titles = None
    return out + also(("rlhfctl", 1), *((f"rlhfd\\-{name}", 8) for name in DAEMONS))


def main():
    bin_, out, version = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    pages = {f"rlhfd-{name}.8": daemon(str(bin_ / f"rlhfd-{name}"), version) for name in DAEMONS}
    pages["rlhfctl.1"] = rlhfctl(str(bin_ / "rlhfctl"), version)
    pages["rlhfd-recipe.5"] = recipe(str(bin_ / "rlhfctl"), version)
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in pages.items():
        (out / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
