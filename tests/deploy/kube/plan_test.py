#!/usr/bin/env python3
"""plan_test.py BIN: what pods ask for is what `rlhfctl plan` says of the same recipe and model, with the margin that README.md names.

The model is the example's in shape; memory does not depend on its values. So the recipe of the base is read by the real parser, too.
"""
import json
import os
import sys
import tempfile

import material
from objects import K8S, RENDERED, Stream, quantity, workers_of

BIN = sys.argv[1]
MARGIN, MORE = 1.25, 128 << 20  # groups on their way, RocksDB's tables, the allocator
TRAIN_S = 10  # far above a round of the example on one core


def planned(top):
    model = material.make(BIN, top)
    return json.loads(material.rlhfctl(BIN, "plan", os.path.join(K8S, "base", "recipe.yaml"), "--set", "model.path=" + model,
                                       "--train-s", str(TRAIN_S), "--json"))


def faults(stream, plan):
    for workload, pod in stream.pods():
        for container, daemon in workers_of(pod):
            limit = quantity(container["resources"]["limits"]["memory"])
            wanted = plan[daemon + "_bytes"] * MARGIN + MORE
            if limit < wanted:
                yield "%s: a limit of %d MiB; the plan and its margin are %d MiB" % (daemon, limit / 2 ** 20, wanted / 2 ** 20)
            if limit > 3 * wanted and "nvidia.com/gpu" not in container["resources"]["limits"]:
                yield "%s: a limit of %d MiB is three times the plan's %d MiB" % (daemon, limit / 2 ** 20, wanted / 2 ** 20)
            grace = pod["spec"]["terminationGracePeriodSeconds"]
            if daemon == "learner" and grace < 2 * plan["grace_s"]:
                yield "learner: %d s of grace; draining takes up to %.0f s" % (grace, plan["grace_s"])
        for claim in workload["spec"].get("volumeClaimTemplates", []):
            size = quantity(claim["spec"]["resources"]["requests"]["storage"])
            if size < 2 * plan["disk_bytes"]:
                yield "learner: a volume of %d MiB; the plan is %d MiB" % (size / 2 ** 20, plan["disk_bytes"] / 2 ** 20)


def main():
    with tempfile.TemporaryDirectory() as top:
        plan = planned(top)
    bad = []
    for name in ("minimal", "tls", "gpu", "rdma", "full"):
        stream = Stream.read(os.path.join(RENDERED, name + ".yaml"))
        bad += ["%s: %s" % (name, fault) for fault in faults(stream, plan)]
    # It must find what is too little, too.
    for key, value in (("learner_bytes", 1e12), ("generator_bytes", 1e12), ("rewarder_bytes", 1e12), ("grace_s", 1e4), ("disk_bytes", 1e12)):
        if not list(faults(Stream.read(os.path.join(RENDERED, "minimal.yaml")), dict(plan, **{key: value}))):
            bad.append("%s of %g passes" % (key, value))
    for fault in bad:
        print(fault)
    print("planned: generator %.0f, learner %.0f, rewarder %.0f MiB; %d faults" % tuple(
        [plan[d + "_bytes"] / 2 ** 20 for d in ("generator", "learner", "rewarder")] + [len(bad)]))
    sys.exit(bool(bad))


main()
