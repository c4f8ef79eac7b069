#!/usr/bin/env python3
"""coming_from.py RLHFCTL PAGE: holds the tables of docs/coming-from.md against `rlhfctl recipe`. Every key of ours in them must exist, and
its default be the recipe's. Prints what is wrong; status 1."""
import re
import subprocess
import sys

ROW = re.compile(r"^\| `([^`]+)` \| (?:`(.*?)`|not set|required) \|", re.M)


def keys_of(recipe):
    """{key: default} of docs/recipe.md as the program prints it; sections too, without a default."""
    keys = {}
    for section in re.split(r"^## ", recipe, flags=re.M)[1:]:
        name, _, body = section.partition("\n")
        if re.fullmatch(r"[a-z]+", name):
            keys[name] = None
            keys.update({f"{name}.{key}": value for key, value in ROW.findall(body)})
    return keys


def main():
    recipe = subprocess.run([sys.argv[1], "recipe"], stdout=subprocess.PIPE, text=True, check=True).stdout
    keys, wrong, compared = keys_of(recipe), [], 0
    with open(sys.argv[2], encoding="utf-8") as file:
        lines = file.read().splitlines()
    sections = {key.partition(".")[0] for key in keys}
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for word in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", "|".join(cells[2:] if len(cells) == 5 else [line])):
            if word.partition(".")[0] in sections and word not in keys:
                wrong.append(f"{number}: '{word}' is no key of the recipe")
        if len(cells) != 5 or not re.fullmatch(r"`[a-z_.]+`", cells[2]):
            continue
        key, said = cells[2].strip("`"), cells[3]
        compared += 1
        there = keys.get(key)
        if key not in keys:
            wrong.append(f"{number}: '{key}' is no key of the recipe")
        elif said != (f"`{there}`" if there else "not set"):
            wrong.append(f"{number}: the default of {key} is said to be {said}, and is {there or 'not set'}")
    print("\n".join(f"{sys.argv[2]}:{line}" for line in wrong) or f"{compared} rows")
    sys.exit(bool(wrong) or compared < 100)


if __name__ == "__main__":
    main()
