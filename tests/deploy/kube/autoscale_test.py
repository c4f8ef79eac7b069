#!/usr/bin/env python3
"""The autoscaler's query, asked of Prometheus' own engine over made-up series: how many generators it wants, and when it has no answer.
Needs promtool."""
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

from objects import RENDERED, ROOT, Stream, workers_of

SPARE = 0.9  # busy share of a generator that is aimed at
# generators, busy share of each, busy share of the learner: what the query says, and how many that makes
CASES = (
    ("sleeps in part", 4, 0.5, 1.0, 2, 3),
    ("all busy, and the learner waits for data", 4, 1.0, 0.5, 8, 9),
    ("held by the lag, and the learner waits", 4, 0.5, 0.5, 4, 5),
    ("just enough", 4, 0.9, 1.0, 3.6, 4),
    ("the learner hardly trains", 2, 1.0, 0.01, 20, 23),
    ("nothing is trained", 4, 0.0, 0.0, None, None),
)


def cases(query, namespace):
    """promtool's file: 20 minutes of each case, a sample a minute, in a namespace of another run, too."""
    for what, generators, busy, learner, value, _ in CASES:
        series = [{"series": 'rlhfd_learner_busy_seconds_total{namespace="%s",job="learner"}' % namespace, "values": "0+%gx20" % (60 * learner)},
                  {"series": 'rlhfd_learner_busy_seconds_total{namespace="other",job="learner"}', "values": "0+60x20"},
                  {"series": 'rlhfd_decode_busy_seconds_total{namespace="other",pod="x"}', "values": "0+60x20"}]
        series += [{"series": 'rlhfd_decode_busy_seconds_total{namespace="%s",pod="g%d"}' % (namespace, i), "values": "0+%gx20" % (60 * busy)}
                   for i in range(generators)]
        samples = [] if value is None else [{"value": value}]
        yield {"name": what, "interval": "1m", "input_series": series,
               "promql_expr_test": [{"expr": query, "eval_time": "15m", "exp_samples": samples}]}
    yield {"name": "nobody is there", "interval": "1m", "input_series": [],
           "promql_expr_test": [{"expr": query, "eval_time": "15m", "exp_samples": []}]}


def unknown_metrics(query):
    """docs/metrics.md is made from the sources."""
    page = os.path.join(ROOT, "docs", "metrics.md")
    if not os.path.exists(page):
        return []
    with open(page, encoding="utf-8") as text:
        return sorted(set(re.findall(r"rlhfd_\w+", query)) - set(re.findall(r"rlhfd_\w+", text.read())))


def main():
    promtool = shutil.which("promtool") or shutil.which("promtool", path=os.path.join(ROOT, "build/tools/usr/bin"))
    if not promtool:
        print("skipped: no promtool, which is in Debian's package prometheus")
        sys.exit(77)
    stream = Stream.read(os.path.join(RENDERED, "full.yaml"))
    scaled = stream.of("ScaledObject")[0]
    trigger = scaled["spec"]["triggers"][0]
    query, threshold = trigger["metadata"]["query"], float(trigger["metadata"]["threshold"])
    with tempfile.TemporaryDirectory() as top:
        path = os.path.join(top, "cases.yml")
        with open(path, "w", encoding="utf-8") as out:
            yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": list(cases(query, scaled["metadata"]["namespace"]))}, out)
        asked = subprocess.run([promtool, "test", "rules", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    bad = [asked.stdout] if asked.returncode else []
    # An AverageValue: Kubernetes' autoscaler takes the sum over the threshold, rounded up, as the number of pods.
    each = len(list(workers_of(stream.get("Deployment", scaled["spec"]["scaleTargetRef"]["name"])["spec"]["template"])))
    if abs(threshold - SPARE * each) > 1e-9:
        bad.append("threshold %g; a pod has %d generators, which makes %g" % (threshold, each, SPARE * each))
    bad += ["%s: %d generators, wanted %d" % (what, math.ceil(value / SPARE - 1e-9), count)
            for what, _, _, _, value, count in CASES if value is not None and math.ceil(value / SPARE - 1e-9) != count]
    bad += ["no daemon has %s" % name for name in unknown_metrics(query)]
    for fault in bad:
        print(fault)
    print("%d cases, %d faults" % (len(CASES) + 1, len(bad)))
    sys.exit(bool(bad))


main()
