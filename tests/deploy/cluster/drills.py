"""Drills of tests/deploy/drills on the real cluster, and two of its own: what 1.20 lacks, and kubectl drain."""
import copy
import os
import re
import subprocess
import time

import yaml

from drills import faults, life
from drills.drill import Drill
from standin.tools import run

from . import older
from .kube import CPU_SHARE, NAMESPACE, Cluster, kubectl


class RealDrill(Drill):
    def __init__(self, name, options):
        super().__init__(name, options, Cluster, os.environ["STATE"] + "/drill")

    def ctl(self, *words, pod="learner-0", check=True):
        return kubectl("exec", pod, "-c", "learner", "--", "rlhfctl", *words, "--address", "127.0.0.1:7013", check=check)

    def job(self, *words, claim="run-learner-0"):
        """A pod of the image on the run's volume, under the learner's own security. (exit status, output)"""
        learner = next(d for d in self.cluster.manifests if d["kind"] == "StatefulSet")["spec"]["template"]["spec"]
        main, name = learner["containers"][0], f"job-{os.urandom(4).hex()}"
        volumes = learner["volumes"] + [{"name": "run", "persistentVolumeClaim": {"claimName": claim}}]
        container = {"name": "job", "image": main["image"], "command": list(words), "securityContext": main["securityContext"],
                     "volumeMounts": main["volumeMounts"]}
        spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "enableServiceLinks": False,
                "securityContext": learner["securityContext"], "containers": [container], "volumes": volumes}
        kubectl("create", "-f", "-", input=yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))

        def pod():
            return self.cluster.api.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")
        self.cluster.until(lambda: pod()["status"]["phase"] in ("Succeeded", "Failed"), 300, f"{name} has ended")
        code = pod()["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
        text = kubectl("logs", name)
        kubectl("delete", "pod", name)
        return code, text.strip()


def refusal(d):
    """What kubectl and the API say to an object, without keeping it; "" if they take it."""
    done = subprocess.run(["kubectl", "apply", "--dry-run=server", "-f", "-"], input=yaml.safe_dump(d), capture_output=True, text=True,
                          timeout=60, check=False)
    return "" if done.returncode == 0 else " ".join(done.stderr.split()).removeprefix('error: error validating "STDIN": ')


def lacks(drill):
    """What of the manifests 1.20 refuses, in its own words, and what it takes without acting on it."""
    documents = [d for d in yaml.safe_load_all(drill.manifests) if d]
    run("kubectl", "create", "namespace", NAMESPACE)
    refused = []
    for d in documents:
        name, said = f"{d['kind']} {d['metadata']['name']}", refusal(d)
        if bool(said) != bool(older.lacking(d)):
            drill.broken(f"{name}: {said or 'taken, though it lacks something'}")
        for row, alone in each_alone(d):
            refused.append(name)
            drill.row(f"{name}: {row[1]}, since {row[2]}", note=alone[:240])
        said = refusal(older.older(d))
        if said:
            drill.broken(f"{name}, as changed: {said}")
    drill.hold(refused, "the others are taken as they are", f"{len(documents) - len(set(refused))} of {len(documents)} objects")
    run("kubectl", "label", "--overwrite", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    run("kubectl", "create", "serviceaccount", "default", "-n", NAMESPACE, check=False)
    host = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": NAMESPACE}, "spec": {
        "containers": [{"name": "c", "image": "c"}], "hostNetwork": True}}
    drill.row("a pod on the host network in a restricted namespace", note=refusal(host) or "taken: Pod Security is not acted on")
    labels = run("kubectl", "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.labels}")
    drill.row("labels of kube-system", note=f"{labels or 'none'}; the policy dns selects by kubernetes.io/metadata.name")
    drill.row("changed for this machine alone", note=f"requests of processor time, by {CPU_SHARE:g}")


def each_alone(d):
    """Each thing that an object has too much, and what is said to it without the others."""
    rows = older.lacking(d)
    for kept in rows:
        new = copy.deepcopy(d)
        for row in rows:
            if row is not kept:
                row[4](new)
        yield kept, refusal(new)


def drain(drill):
    """kubectl drain of the only node: with two generators the budget keeps the second; with one all go. Uncordoned, all come back."""
    drill.begin()
    cluster = drill.cluster
    drill.until_round(2, 120)
    for generators, whole in ((2, False), (1, True)):
        cluster.scale("Deployment", "generator", generators)
        drill.all_ready(150)
        old, begin = [p for p in cluster.pods_now() if not p.deleted], time.monotonic()
        done = subprocess.run(["kubectl", "drain", "node0", f"--timeout={60 if whole else 20}s"], capture_output=True, text=True,
                              timeout=200, check=False)
        gone = [p for p in old if p in cluster.gone]
        said = re.findall(r"Cannot evict pod[^\n]*", done.stdout + done.stderr)
        drill.row(f"kubectl drain, generators: {generators}", time.monotonic() - begin,
                  f"{len(gone)} of {len(old)} pods gone, exits {' '.join(sorted({str(p.main.exit) for p in gone}))}, refused {len(said)} times")
        drill.hold((done.returncode == 0) == whole and len(gone) == len(old) - (not whole), "as the budgets say",
                   said[0] if said else "all evicted")
        run("kubectl", "uncordon", "node0")
        drill.row("uncordoned: all ready again", drill.all_ready(150))
        drill.more_rounds(2)
    drill.end()


def scale(drill):
    """Generators 1 -> 3 -> 1: who is new joins, who is taken leaves within its grace."""
    life.scale(drill, 3)


DRILLS = {f.__name__: f for f in (lacks, life.start, scale, life.eviction, drain, life.complete, faults.learner, faults.kill)}
