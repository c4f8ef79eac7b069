#!/usr/bin/env bash
# Writes tldr/rows.jsonl and the tokenizer beside it, the inputs of ring/golden's tldr runs: 256 rows as examples/tldr/prepare
# makes them of Debian's package descriptions, and a tokenizer of 512 entries trained on them.
# The rows in the tree are of Debian 12 as it was on 2026-11-29. Debian's lists change, so ./dev golden does not run this: other
# rows make other weights, and the digests of weights.json would have nothing to be compared with.
#
#   examples/tldr/prepare --out DATA && tests/golden/tldr.sh DATA
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rlhfctl=${RLHFCTL:-$here/../../build/bin/rlhfctl}
data=${1:?tldr.sh takes the directory that examples/tldr/prepare wrote}
out=$here/tldr

# The rows whose hashes are least: packages of the whole alphabet, and most of them the same ones after an update of the lists.
python3 - "$data/sft.jsonl" >"$out/rows.jsonl" <<'SCRIPT'
import hashlib
import sys

with open(sys.argv[1], encoding="ascii") as rows:
    chosen = sorted(rows, key=lambda row: hashlib.sha256(row.encode()).digest())[:256]
sys.stdout.writelines(chosen)
SCRIPT
"$rlhfctl" tokenizer train --vocab 512 --special '<pad>' --special '<eos>' --out "$out" "$out/rows.jsonl"
