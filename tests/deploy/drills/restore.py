"""The volume is lost: the run goes on from the copy that was off its machine."""
import json
import os
import shutil
import subprocess
import time

import yaml

from standin.tools import run

HERE = os.path.dirname(os.path.abspath(__file__))
K8S = os.path.join(HERE, "../../../deploy/k8s")


def restore(drill):
    """The learner's volume is gone; the newest copy from off the node goes on elsewhere, with the same digests."""
    cluster, gateway = drill.cluster, drill.cluster.network.gateway
    store = subprocess.Popen(["rclone", "serve", "restic", "--addr", f"{gateway}:443", f"{drill.state}/offsite"], stderr=subprocess.PIPE)
    try:
        drill.manifests = render() + secret(f"rest:http://{gateway}:443/", "a drill")
        drill.row("all pods ready, a container for copies beside the learner", drill.begin())
        drill.until_round(10, 150)
        begin = time.monotonic()
        run("podman", "exec", container(drill, "backup").id, "rlhfd-backup", "once", timeout=300)
        drill.row("a copy is in the store off the node", time.monotonic() - begin, size(f"{drill.state}/offsite"))
        drill.more_rounds(20)
        lose(drill)
        bring_back(drill)
        drill.end()
    finally:
        store.kill()
        store.wait()


def render():
    kubectl = os.environ.get("KUBECTL") or os.path.join(HERE, "../../../build/kube/kubectl")
    if not shutil.which(kubectl):
        raise AssertionError(f"'{kubectl}' is missing: ./dev kube, or KUBECTL")
    return run(kubectl, "kustomize", os.path.join(HERE, "../overlay")) + "\n"


def secret(repository, password):
    return "---\n" + yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "backup", "namespace": "rlhfd"},
                                     "stringData": {"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": password}})


def container(drill, name):
    return next(c for c in drill.cluster.pod("learner-0").containers if c.name == name)


def size(path):
    return run("du", "-sb", path).split()[0] + " bytes"


def lose(drill):
    """The learner and its volume go in one moment, while generators hold newer versions than the copy."""
    cluster = drill.cluster
    pod = cluster.pod("learner-0")
    drill.lost = {"path": f"{drill.state}/lost", "version": max(w["version"] for w in drill.workers() if w["kind"] == "generator")}
    cluster.scale("StatefulSet", "learner", 0)
    for c in pod.containers:
        c.signal(9)
    cluster.until(lambda: not cluster.pod("learner-0"), 150, "the learner's pod is gone")
    shutil.move(cluster.claim_path("run-learner-0"), drill.lost["path"])
    cluster.delete_object("PersistentVolumeClaim", "run-learner-0")
    cluster.volumes["run-learner-0"] = f"{drill.state}/elsewhere"
    drill.row("the volume is gone", note=f"generators hold version {drill.lost['version']}")


def digests(drill, claim, versions):
    """Of each version, as the store's records have them."""
    found = {}
    for version in versions:
        code, text = drill.explain(version, claim)
        found[version] = f"status {code}: {text[-200:]}" if code else \
            next(u["weights"] for u in json.loads(text)["updates"] if u["version"] == version)
    return found


def bring_back(drill):
    cluster, begin = drill.cluster, time.monotonic()
    # A claim of the same name and another disk: what `kubectl apply` of a PersistentVolumeClaim gives.
    cluster.apply(yaml.safe_dump({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "run-learner-0", "namespace": "rlhfd"},
                                  "spec": {}}))
    with open(os.path.join(K8S, "jobs/restore.yaml"), encoding="utf-8") as file:
        cluster.apply(file.read())
    cluster.until(lambda: any(p.phase == "Succeeded" for p in cluster.of("restore")), 200, "the job `restore` succeeds")
    cluster.delete_object("Job", "restore")
    drill.row("the copy is restored elsewhere", time.monotonic() - begin)
    rounds = drill.rounds()
    ready = time.monotonic()
    cluster.scale("StatefulSet", "learner", 1)
    drill.all_ready(240)
    drill.row("all ready again", time.monotonic() - ready, f"the copy had {rounds} rounds")
    drill.more_rounds(drill.lost["version"] - rounds + 5, "past the versions that were lost")
    cluster.volumes["lost"] = drill.lost["path"]
    versions = [1, rounds // 2, rounds]
    before, after = digests(drill, "lost", versions), digests(drill, "run-learner-0", versions)
    drill.hold(before == after and all(len(d) >= 16 for d in after.values()), "the versions of the copy have the digests they had", str(after))
    # At lag 0 the learner compares what was drawn with its own forward, bit for bit.
    drill.ctl("set", "lag.max=0", "--reason", "a drill")
    drill.more_rounds(6, "at lag 0")
    line = drill.last_line()
    drill.hold(line["logp_compared"] and not line["logp_differing"], "what generators drew is what the learner computes",
               f"{line['logp_differing']:.0f} of {line['logp_compared']:.0f} log-probabilities differ")
    drill.hold(not drill.restarts(), "no worker was restarted", str(drill.restarts() or ""))


def newcomer(drill):
    """README.md, "From nothing to a run", as a new user follows it: an empty volume `data`, filled by jobs/fill.yaml."""
    cluster = drill.cluster
    cluster.volumes["data"] = f"{drill.state}/data"
    begin = time.monotonic()
    cluster.apply(drill.manifests)
    cluster.until(lambda: any(c.exit for p in cluster.pods_now() for c in p.init), 60, "a pod says that SHA256SUMS is missing")
    drill.row("pods wait for SHA256SUMS", time.monotonic() - begin)
    with open(os.path.join(K8S, "jobs/fill.yaml"), encoding="utf-8") as file:
        cluster.apply(file.read())
    drill.row("the pod `fill` is ready", cluster.until(lambda: cluster.pod("fill") and cluster.pod("fill").ready, 60, "ready"))
    fill = cluster.pod("fill").main.id
    # By name and not as `.`: the volume's own directory is root's.
    with subprocess.Popen(["tar", "-C", f"{drill.top}/data", "-cf", "-", *os.listdir(f"{drill.top}/data")], stdout=subprocess.PIPE) as tar:
        subprocess.run(["podman", "exec", "-i", fill, "tar", "-C", "/data", "--no-same-owner", "-xf", "-"], stdin=tar.stdout, check=True)
    run("podman", "exec", fill, "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
    drill.row("filled and checked", time.monotonic() - begin)
    filled = time.monotonic()
    cluster.delete_object("Pod", "fill")
    for pod in cluster.pods_now():  # kubectl delete pod --all
        cluster.remove(pod)
    drill.all_ready(400)
    drill.row("all pods ready after that", time.monotonic() - filled)
    drill.ctl("set", "run.rounds=1000000")
    drill.more_rounds(3)
    drill.row("rlhfctl status", note=drill.ctl("status").splitlines()[1][:80])
    drill.end()


DRILLS = [restore, newcomer]
