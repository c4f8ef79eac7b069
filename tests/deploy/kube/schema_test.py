#!/usr/bin/env python3
"""schema_test.py KUBE: the rendered overlays by Kubernetes' own schemas, of the oldest and the newest version that README.md names,
and custom resources by those of their definitions. A field or a kind that nobody knows is a fault."""
import glob
import json
import os
import sys

from objects import K8S, RENDERED, Stream

VERSIONS = ("1.30", "1.37")
passed = set()
kube = sys.argv[1]
python = os.path.join(kube, "venv", "bin", "python")
if not os.path.exists(os.path.join(kube, "pins")):
    print("skipped: no '%s': ./dev kube fetches the schemas from PyPI" % kube)
    sys.exit(77)
if os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(kube, "venv")):
    os.execv(python, [python] + sys.argv)

import cloudcoil.pydantic  # noqa: E402

cloudcoil.pydantic.BaseModel.model_config["extra"] = "forbid"  # before the models are made: unknown fields are errors
import cloudcoil.models.cert_manager.v1 as cert_manager  # noqa: E402
import cloudcoil.models.keda.v1alpha1 as keda  # noqa: E402
import cloudcoil.models.prometheus_operator.v1 as prometheus_operator  # noqa: E402
import kubernetes_validate  # noqa: E402

MODELS = {"cert-manager.io/v1": cert_manager, "keda.sh/v1alpha1": keda, "monitoring.coreos.com/v1": prometheus_operator}


def custom(stream):
    for o in stream.objects:
        if o["apiVersion"] in MODELS:
            try:
                getattr(MODELS[o["apiVersion"]], o["kind"]).model_validate(o)
            except Exception as e:  # a kind that is none, a value that does not fit
                yield "%s/%s: %s" % (o["kind"], o["metadata"]["name"], e)


def standard(objects):
    """A kind that Kubernetes does not know is an error of this call; the program of the same name would only warn."""
    for o in objects:
        text = json.dumps(o, sort_keys=True)
        if text in passed:  # overlays have most objects in common
            continue
        whole = True
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(o, version, strict=True)
            except Exception as e:  # a kind, a field or a value
                whole = False
                yield "%s: %s/%s: %s" % (version, o["kind"], o["metadata"]["name"], e)
        if whole:
            passed.add(text)


def faults(stream):
    yield from standard([o for o in stream.objects if o["apiVersion"] not in MODELS])
    yield from custom(stream)


def missed():
    """The schemas must find what is wrong, too."""
    tried = ((("StatefulSet", "learner"), lambda o: o["spec"].update(replica=1)),
             (("Service", "learner"), lambda o: o["spec"]["ports"][0].update(port="7003")),
             (("NetworkPolicy", "dns"), lambda o: o.update(kind="NetworkPolice")),
             (("PodDisruptionBudget", "learner"), lambda o: o["spec"].update(unhealthyPodEviction="AlwaysAllow")),
             (("ScaledObject", "generator"), lambda o: o["spec"].update(maxReplicas=8)),
             (("PodMonitor", "learner"), lambda o: o["spec"].update(podMetricsEndpoint=[])),
             (("Certificate", "learner"), lambda o: o["spec"].update(uri=[])))
    for key, mutate in tried:
        stream = Stream.read(os.path.join(RENDERED, "full.yaml"))
        one = stream.get(*key)
        stream.objects = [one]
        mutate(one)
        if not list(faults(stream)):
            yield "a mutation of %s/%s passes" % key


def main():
    paths = sorted(glob.glob(os.path.join(RENDERED, "*.yaml"))) + sorted(glob.glob(os.path.join(K8S, "jobs", "*.yaml")))
    paths.append(os.path.join(K8S, "cluster", "priority.yaml"))
    bad = ["%s: %s" % (os.path.basename(path), fault) for path in paths for fault in faults(Stream.read(path))] + list(missed())
    for fault in bad:
        print(fault)
    print("%d files by the schemas of %s, %d faults" % (len(paths), " and ".join(VERSIONS), len(bad)))
    sys.exit(bool(bad))


main()
