#!/usr/bin/env bash
# Writes format3.tar: a run as a build with stores of format 3 left it when all of its processes were killed at once. It has a
# checkpoint, rounds after it that have to be trained again, the last one of them recorded and never trained, a setting that was
# changed in the middle, and the groups of one round more, with the reference's log-probabilities.
# crash/format3 goes on with it. ./dev golden does not run this: a later build cannot write format 3. What was made once
# (2026-11-29) is kept.
#
#   tests/golden/format3.sh && RLHFD_GOLDEN=write build/tests/test_crash_format3
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
bin=${BIN:-$root/build/bin}
grep -q 'STORE_FORMAT = 3 ' "$root/daemons/learner/store/record.h" ||
    { echo "format3.sh: this build does not write format 3" >&2 && exit 1; }

# Where the run lives is in its recorded settings; the test unpacks it elsewhere.
at=/tmp/format3
mkdir "$at"
trap 'rm -rf "$at"' EXIT
cd "$at"
"$root/examples/sort/prepare" --seed 3 --sft 1 --train 256 --test 1 --out . && rm sft.jsonl test.jsonl
"$bin/rlhfctl" tokenizer train --vocab 29 --special '<pad>' --special '<eos>' --alphabet data --out model train.jsonl
"$bin/rlhfctl" model new --seed 1 --layers 1 --width 16 --heads 1 --ff 32 --tied --max-positions 32 model
cat >recipe.yaml <<'RECIPE'
run:        {name: format3, seed: 1, rounds: 400}
model:      {path: model}
data:       {train: train.jsonl, max_prompt_tokens: 16}
generator:  {slots: 32, num_generations: 4, max_tokens: 10}
rewarder:   {reference: frozen, scorers: [{kind: exact, column: completion, weight: 0.5},
                                          {kind: length, min: 6, max: 8, weight: 0.5}]}
learner:    {objective: rloo, groups: 4, kl: {coef: 0.05}, optimizer: {lr: 1e-3}}
lag:        {max: 1, straggler: wait}
checkpoint: {every: 8, keep: 1}
RECIPE

# rounds: how many rounds are trained now.
rounds()
{
    cat run/metrics.jsonl 2>/dev/null | wc -l
}

kill_all()
{
    kill -9 "$up" $(sed -n 's/.*"pid": \([0-9]*\),/\1/p' run/endpoints.json)
    wait "$up" 2>/dev/null || true
}

# figure NAME: of the audit of a copy, as to look at a store may change files beside it.
figure()
{
    sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" "$at/audit" | head -n 1
}

# The moment cannot be chosen: killed again and again until it was one with all that the first lines say.
for try in {1..200}; do
    rm -rf run copy
    "$bin/rlhfctl" up recipe.yaml --run run >up.log 2>&1 &
    up=$!
    until (($(rounds) >= 1)); do sleep 0.01; done
    "$bin/rlhfctl" set learner.optimizer.lr=2e-3 --run run --reason "in the middle" >/dev/null
    until (($(rounds) >= 12)); do :; done
    kill_all
    sleep 0.2
    cp -a run copy
    "$bin/rlhfd-learner" recipe.yaml --run copy --job audit >audit
    version=$(cd run/checkpoints && ls -d v* | sort -V | tail -n 1)
    echo "try $try: $(tail -n 1 audit) stored=$(figure stored) checkpoint=$version"
    if (($(figure rounds) == $(figure rounds_done) + 1 && $(figure stored) == 4)) &&
        (($(figure rounds) <= 24 && $(figure rounds) >= ${version#v} + 4)); then
        break
    fi
    ((try < 200)) || exit 1
done

# What a start makes anew, or only people read. RocksDB needs no file of its options.
rm -rf run/logs run/lock run/endpoints.json run/recipe.yaml run/run.json run/checkpoints/writing run/store/{LOG,LOCK,OPTIONS}*
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$here/format3.tar" recipe.yaml train.jsonl model run
ls -l "$here/format3.tar"
