#!/usr/bin/env bash
# prefix_test.sh CMAKE BUILD VERSION: installs BUILD to a prefix of its own. The programs there find each other, and the example's
# recipe is checked from there with data and a model made by what was installed. Every link in the documents leads somewhere.
set -euo pipefail
cmake=$1 build=$2 version=$3 here=$(cd "$(dirname "$0")" && pwd)
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
prefix=$top/prefix example=$top/prefix/share/rlhfd/examples/sort
"$cmake" --install "$build" --prefix "$prefix" >"$top/log" 2>&1 || { cat "$top/log" && exit 1; }

for program in rlhfctl rlhfd-generator rlhfd-rewarder rlhfd-sandbox rlhfd-learner; do
    got=$("$prefix/bin/$program" --version)
    [[ $got == "$program $version" ]] || { echo "$program --version: '$got', wanted version $version" && exit 1; }
done
for file in doc/rlhfd/LICENSE bash-completion/completions/rlhfctl zsh/site-functions/_rlhfctl man/man1/rlhfctl.1 \
    man/man5/rlhfd-recipe.5 man/man8/rlhfd-learner.8 rlhfd/examples/tldr/recipe.yaml; do
    [[ -s $prefix/share/$file ]] || { echo "share/$file is missing" && exit 1; }
done
"$here/links.py" "$prefix/share/doc/rlhfd" README.md docs/recipe.md docs/models.md docs/security.md docs/packages.md docs/upgrades.md

run=$top/run
mkdir "$run"
"$example/prepare" --seed 1 --out "$run/data" >/dev/null
"$prefix/bin/rlhfctl" tokenizer train --vocab 29 --special '<pad>' --special '<eos>' --alphabet data --out "$run/sft" \
    "$run/data/sft.jsonl" >/dev/null
"$prefix/bin/rlhfctl" model new --layers 1 --width 16 --heads 2 --max-positions 32 "$run/sft" >/dev/null
"$prefix/bin/rlhfctl" check "$example/recipe.yaml" --run "$run"
