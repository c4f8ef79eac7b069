#!/usr/bin/env python3
"""links.py ROOT REQUIRED...: follows every link and image of the Markdown files below ROOT. A relative one must be a file there, its
#fragment a heading of it. REQUIRED files must be reached from README.md, and so must every document. Prints what is wrong; status 1."""
import re
import sys
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)


def anchors(text):
    """The fragments of a file's headings, as GitHub makes them; a second one of a name has -1."""
    seen, out = {}, set()
    for title in re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M):
        name = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        out.add(f"{name}-{seen[name]}" if name in seen else name)
        seen[name] = seen.get(name, 0) + 1
    return out


def main():
    root, required = Path(sys.argv[1]).resolve(), sys.argv[2:]
    wrong, reached, links = [], set(), 0
    pages = {path: path.read_text() for path in sorted(root.rglob("*.md"))}
    to_read = [root / "README.md"]
    for path, text in pages.items():
        for match in LINK.finditer(CODE.sub("", text)):
            target, _, fragment = (match[1] or match[2]).partition("#")
            links += 1
            if re.match(r"[a-z]+:", target):
                continue
            there = (path.parent / target).resolve() if target else path
            if root not in there.parents or not there.exists():
                wrong.append(f"{path.relative_to(root)}: '{match[1] or match[2]}' is not there")
            elif fragment and there.suffix == ".md" and fragment not in anchors(pages[there]):
                wrong.append(f"{path.relative_to(root)}: '{target}' has no heading '#{fragment}'")
    while to_read:
        path = to_read.pop()
        if path in reached or path not in pages:
            continue
        reached.add(path)
        for match in LINK.finditer(CODE.sub("", pages[path])):
            to_read.append((path.parent / (match[1] or match[2]).partition("#")[0]).resolve())
    wrong += [f"{name} is not reached from README.md" for name in required if (root / name) not in reached]
    wrong += [f"{path.relative_to(root)} is not reached from README.md" for path in sorted(pages.keys() - reached)]
    if links < 10:
        wrong.append(f"only {links} links were found")
    print("\n".join(wrong) or f"{links} links in {len(pages)} documents")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
