#!/usr/bin/env bash
# backup_test.sh BIN: copies of a real run by deploy/backup/rlhfd-backup while it trains, what a repository with a flipped byte does, and
# a restore that has the same history and trains on. Needs restic (./dev kube installs it).
set -euo pipefail
bin=$1 root=$(cd "$(dirname "$0")/../.." && pwd)
command -v restic >/dev/null || { echo "skipped: no restic: ./dev kube installs it" && exit 77; }
top=$(mktemp -d) ring=
trap '[[ ! $ring ]] || kill "$ring" 2>/dev/null && wait 2>/dev/null; rm -rf "$top"' EXIT
export PATH=$bin:$root/deploy/backup:$PATH
export RUN=$top/run RESTIC_REPOSITORY=$top/repository RESTIC_PASSWORD=test RESTIC_CACHE_DIR=$top/cache BACKUP_KEEP='--keep-last 2'

fail()
{
    echo "FAILED: $*"
    tail -n 20 "$top"/*.log
    exit 1
}

# until SECONDS COMMAND...
until_true()
{
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "waited too long for: $*"
        sleep 0.1
    done
}

rounds()
{
    wc -l 2>/dev/null <"$RUN/metrics.jsonl" || echo 0
}

trained()
{
    (($(rounds) >= $1))
}

# start ROUNDS LOG: the ring, until it has trained so many rounds more
start()
{
    local before
    before=$(rounds)
    rlhfctl up "$root/examples/sort/recipe.yaml" --run "$RUN" --set run.rounds=100000 --set checkpoint.every=4 --set learner.groups=8 \
        --set learner.optimizer.schedule=constant --set model.path="$top/sft" --set data.train="$top/data/train.jsonl" \
        --set data.eval="$top/data/test.jsonl" >"$top/$2.log" 2>&1 &
    ring=$!
    until_true 120 trained $((before + $1))
    ADMIN=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["learner"]["admin"])' "$RUN/endpoints.json")
    export ADMIN
}

gone()
{
    ! kill -0 "$ring" 2>/dev/null
}

stop()
{
    kill -INT "$ring"
    until_true 120 gone
    wait "$ring" || fail "the ring ended with $?"
    ring=
}

"$root/examples/sort/prepare" --seed 1 --out "$top/data" >/dev/null
rlhfctl tokenizer train --vocab 29 --special '<pad>' --special '<eos>' --alphabet data --out "$top/sft" "$top/data/sft.jsonl" >/dev/null
rlhfctl model new --layers 1 --width 16 --heads 2 --max-positions 32 "$top/sft" >/dev/null

# Three copies of which two are kept; nothing of them stays in the run. A learner that runs is not restored over.
start 6 first
for _ in 1 2 3; do
    rlhfd-backup once 2>>"$top/backup.log" || fail "a copy of a run that trains"
done
[[ $(restic snapshots --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))') == 2 ]] || fail "two copies are kept"
[[ -z $(ls -A "$RUN/backups") ]] || fail "left in the run: $(ls -A "$RUN/backups")"
! rlhfd-backup restore 2>"$top/refused.log" || fail "restored over a learner that runs"
grep -q 'is in use' "$top/refused.log" || fail "why it refuses"
copied=$(rounds)

# The loop: its first copy at once. A signal while it waits, and one amid a copy, end it within seconds and leave nothing running.
rlhfd-backup loop 2>"$top/loop.log" &
loop=$!
until_true 120 grep -q 'is in the repository' "$top/loop.log"
kill -TERM "$loop" && ! wait "$loop" || fail "a loop that was ended has status 0"
rlhfd-backup loop 2>"$top/loop2.log" &
loop=$!
until_true 120 compgen -G "$RUN/backups/offsite-*" >/dev/null
begin=$SECONDS
group=$(pgrep -P "$loop")
kill -TERM "$loop" && ! wait "$loop" || fail "a loop that was ended has status 0"
((SECONDS - begin < 30)) || fail "$((SECONDS - begin)) s to end"
! kill -0 -- "-$group" 2>/dev/null || fail "a copy still runs"
rlhfd-backup once 2>>"$top/backup.log" || fail "a copy after one that was broken off"
until_true 120 trained $((copied + 6))
stop
went=$(rounds)

# A byte flipped in the repository: found, and nothing is restored.
pack=$(find "$top/repository/data" -type f -size +2k -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
cp "$pack" "$top/whole"
chmod u+w "$pack"
python3 - "$pack" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 1
open(sys.argv[1], "wb").write(data)
PY
! rlhfd-backup check >"$top/check.log" 2>&1 || fail "a flipped byte is not found"
! rlhfd-backup restore >"$top/damaged.log" 2>&1 || fail "a damaged copy was restored"
[[ $(rounds) == "$went" ]] || fail "a restore that failed changed the run"
cp "$top/whole" "$pack"

# The run as it was at the copy: each version from the same round, groups and digests; then it goes on.
rlhfd-backup check >"$top/check.log" 2>&1 || fail "the whole repository"
rlhfd-backup restore 2>"$top/restore.log" || fail "restore"
old=$(ls -d "$RUN".before-restore-*)
back=$(rounds)
((back >= copied && back <= went)) || fail "restored has $back rounds; the copy was made between $copied and $went"
for version in 1 $((back / 2)) "$back"; do
    for run in "$old" "$RUN"; do # which of its checkpoints are still there differs
        rlhfctl explain version "$version" --run "$run" >"$top/explained" 2>"$top/explain.log" || fail "explain version $version"
        grep -E '^(made by|weights|recorded by|groups) |^ +[0-9]+ ' "$top/explained" >"$top/explained-${run##*/}"
    done
    grep -q '^weights' "$top/explained-run" || fail "explain tells no weights"
    diff "$top/explained-${old##*/}" "$top/explained-run" || fail "version $version is another"
done
start 4 second
stop
echo "copies of a run that trained $went rounds; one of $back rounds restored, which trained to $(rounds)"
