#!/usr/bin/env python3
"""The rendered overlays pass every check, and bring what each is for."""
import glob
import os
import sys

import yaml

import checks
from objects import K8S, RENDERED, ROOT, Stream

BRINGS = {"minimal": (), "tls": ("Certificate",), "gpu": (), "rdma": (), "programs": (),
          "full": ("Certificate", "PodMonitor", "PrometheusRule", "ScaledObject")}


def main():
    bad = []
    found = {os.path.basename(path)[:-5]: path for path in glob.glob(os.path.join(RENDERED, "*.yaml"))}
    if set(found) != set(BRINGS):
        bad.append("rendered are %s; wanted %s" % (sorted(found), sorted(BRINGS)))
    for name, path in sorted(found.items()):
        stream = Stream.read(path)
        bad += ["%s: %s" % (name, fault) for fault in checks.faults(stream)]
        kinds = {o["kind"] for o in stream.objects}
        bad += ["%s: no %s" % (name, kind) for kind in BRINGS.get(name, ()) if kind not in kinds]
    bad += ["jobs: " + fault for fault in jobs()] + list(rules())
    for fault in bad:
        print(fault)
    print("%d overlays, %d faults" % (len(found), len(bad)))
    sys.exit(bool(bad))


def jobs():
    """What is applied by hand is as restricted; its volumes are other objects'."""
    for path in sorted(glob.glob(os.path.join(K8S, "jobs", "*.yaml"))):
        stream = Stream.read(path)
        for check in (checks.security, checks.resources, checks.references):
            yield from check(stream)


def rules():
    """prometheus-operator and Grafana get what Prometheus and people would read."""
    plain, ours = os.path.join(ROOT, "deploy", "prometheus"), os.path.join(K8S, "components", "monitoring")
    pairs = (("rules.yml", "rules.yaml", lambda o: o.get("spec", o)["groups"]), ("dashboard.json", "dashboard.json", lambda o: o))
    for name, copy, part in pairs:
        if not os.path.exists(os.path.join(plain, name)):
            continue
        with open(os.path.join(plain, name), encoding="utf-8") as a, open(os.path.join(ours, copy), encoding="utf-8") as b:
            if part(yaml.safe_load(a)) != part(yaml.safe_load(b)):
                yield "components/monitoring/%s is not deploy/prometheus/%s: deploy/k8s/render" % (copy, name)


main()
