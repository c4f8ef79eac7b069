#!/usr/bin/env bash
# Writes tests/golden/trl_steps/: single optimizer steps as TRL's trainers make them, and the reference's weights.
#
#   tests/golden/trl_steps.sh [DIR]     DIR: where the two environments are made (5 GB from PyPI); they are kept
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-/tmp/trl_steps}
mkdir -p "$dir"
# TRL 1.0.0 is the last with a BCO trainer; it shares the other environment's PyTorch.
[[ -x $dir/t16/bin/python ]] || {
    python3 -m venv "$dir/t16"
    "$dir/t16/bin/pip" install -q trl==1.16.0 torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
}
[[ -x $dir/t10/bin/python ]] || {
    python3 -m venv "$dir/t10"
    echo "$dir"/t16/lib/python3.*/site-packages >"$("$dir/t10/bin/python" -c 'import site; print(site.getsitepackages()[0])')/share.pth"
    "$dir/t10/bin/pip" install -q --no-deps trl==1.0.0
}
for group in reference dpo kto cpo orpo grpo rloo reward; do
    "$dir/t16/bin/python" "$here/trl_steps/steps.py" $group
done
"$dir/t10/bin/python" "$here/trl_steps/steps.py" bco
