#!/usr/bin/env python3
"""bin/objective-check on vectors of another implementation: all agree; a number that differs is found; a malformed file is one
line and exit status 2. usage: check_test.py OBJECTIVE_CHECK objective_keys.json"""
import copy
import json
import os
import subprocess
import sys
import tempfile

CHECK, GOLDEN = sys.argv[1:3]
WHOLE = json.load(open(GOLDEN))


def run(text):
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        file.write(text)
    try:
        done = subprocess.run([CHECK, file.name], capture_output=True, text=True, timeout=60)
    finally:
        os.unlink(file.name)
    return done.returncode, done.stdout, done.stderr


def changed(change):
    """The file after change(root)."""
    root = copy.deepcopy(WHOLE)
    change(root)
    return json.dumps(root)


def expect(what, found, wanted):
    if found != wanted:
        sys.exit("check_test: %s: %r, not %r" % (what, found, wanted))


def agree():
    status, out, said = run(json.dumps(WHOLE))
    objectives, rows = len(WHOLE["objectives"]), len(WHOLE["vocab_level"]["checks"])
    expect("last line", out.splitlines()[-1], "%d/%d objectives, %d/%d vocabulary, 0/0 other" % (objectives, objectives, rows, rows))
    expect("status", (status, said), (0, ""))


def differ():
    """Each objective alone: a slope, then the loss, a little off; the others still agree."""
    for name in WHOLE["objectives"]:
        def slope(root):
            root["objectives"][name]["dloss_dlogp"][1][0] += 1e-5
        def loss(root):
            root["objectives"][name]["loss"] *= 1.001
        for change in (slope, loss) if name == "dpo beta=.1" else (slope,):
            status, out, _ = run(changed(change))
            bad = [line for line in out.splitlines() if line.startswith("BAD")]
            expect(name, (status, len(bad), bad and bad[0].startswith("BAD  " + name)), (1, 1, True))


def other_numbers():
    """A name's numbers are settings: with others the result is another, and an unknown name is a fault."""
    def renamed(old, new):
        def change(root):
            root["objectives"] = {new: root["objectives"][old]}
        return changed(change)
    for old, new in [("dpo beta=.1", "dpo beta=.2"), ("dapo_clip(.2,.28) token-mean", "dapo_clip(.02,.03) token-mean"),
                     ("aipo delta=1.1 (min(r_b,d) sg) token-mean", "aipo delta=0.9 (min(r_b,d) sg) token-mean"),
                     ("sft token-mean", "sft token-median")]:
        status, out, _ = run(renamed(old, new))
        expect(new, (status, out.splitlines()[-1].split(",")[0]), (1, "0/1 objectives"))
        expect(old, run(renamed(old, old))[0], 0)


def malformed():
    def put(path, value):
        def change(root):
            for key in path[:-1]:
                root = root[key]
            root[path[-1]] = value
        return changed(change)
    texts = ["", "{", "[]", "{}", json.dumps(WHOLE)[:-9], json.dumps(WHOLE).replace("-0.5", "NaN", 1)]
    for path in (["inputs"], ["objectives"], ["inputs", "R"], ["inputs", "A"], ["inputs", "l_policy"], ["inputs", "f_ref"],
                 ["inputs", "groups"], ["inputs", "pairs_winner_loser"], ["inputs", "l_policy", 0], ["inputs", "o_prox", 1, 0],
                 ["inputs", "groups", 0, 0], ["inputs", "pairs_winner_loser", 0], ["inputs", "R", 0],
                 ["objectives", "sft token-mean"], ["objectives", "sft token-mean", "loss"],
                 ["objectives", "sft token-mean", "dloss_dlogp"], ["objectives", "sft token-mean", "dloss_dlogp", 0],
                 ["vocab_level", "z"], ["vocab_level", "checks"], ["vocab_level", "checks", "entropy", "dz"]):
        texts += [put(path, value) for value in ("x\ny", None, {}, [], 7.5, [[]])]
    texts += [put(["inputs", "groups", 0, 0], 99), put(["inputs", "groups", 0, 0], 2), put(["inputs", "pairs_winner_loser", 0], [1, 1]),
              put(["inputs", "l_policy"], [[]] * 5000)]
    refused = 0
    for text in texts:
        status, out, said = run(text)
        if status == 2:
            expect("lines of %.60s" % text, (said.count("\n"), said.startswith("objective-check: "), out), (1, True, ""))
            refused += 1
        else:
            expect("status of %.60s" % text, status in (0, 1), True)
    expect("refused of %d: %d" % (len(texts), refused), refused >= 110, True)
    expect("no file", subprocess.run([CHECK, GOLDEN + ".none"], capture_output=True).returncode, 2)
    expect("no word", subprocess.run([CHECK], capture_output=True).returncode, 2)


agree()
differ()
other_numbers()
malformed()
