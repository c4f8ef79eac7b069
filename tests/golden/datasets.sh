#!/usr/bin/env bash
# Writes tests/golden/datasets/cases.jsonl: rows of every format, and the tokens and masks that TRL makes of them.
#
#   pip install trl==1.16.0 torch==2.15.0     (beside other vectors' TRL: an environment of its own)
#   tests/golden/datasets.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/../real/compare_datasets" --rows 3 --write "$here/datasets" "$here/datasets/model"
