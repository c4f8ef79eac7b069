"""The cluster: nodes, pods, the thread that reconciles, and what an operator does to them."""
import copy
import os
import shutil
import threading
import time

from . import controllers, security
from .network import Network
from .objects import Objects
from .pod import Pod
from .tools import Journal, Refused, run, selects, share


class Cluster(Journal):
    def __init__(self, state, nodes=("node0", "node1"), volumes=None, say=None):
        self.state, self.volumes, self.say = state, volumes or {}, say
        self.begin, self.lock = time.monotonic(), threading.RLock()
        self.nodes, self.cordoned, self.pods, self.gone, self.refusals = list(nodes), set(), {}, [], set()
        shutil.rmtree(f"{state}/pods", ignore_errors=True)
        os.makedirs(f"{state}/logs", exist_ok=True)
        run("podman", "rm", "-fa", "-t", "0", check=False)
        self.events = open(f"{state}/events.log", "a", encoding="utf-8")
        self.objects, self.network = Objects(), Network(self)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.turn, daemon=True)
        self.thread.start()

    def turn(self):
        while not self.over.is_set():
            with self.lock:
                controllers.reconcile(self)
            self.network.changed()
            time.sleep(0.1)

    def close(self):
        """All pods at once, without grace: a drill that wants an orderly end deletes them first."""
        self.over.set()
        self.thread.join()
        run("podman", "rm", "-fa", "-t", "0", check=False)
        for pod in self.pods_now():
            pod.doomed.set()
            pod.thread.join(10)
        self.network.close()

    # Objects.

    def apply(self, text):
        with self.lock:
            self.objects.apply(text)

    def patch(self, kind, name, change):
        """change(the object), as an editor of it would."""
        with self.lock:
            new = copy.deepcopy(self.objects.all[kind, name])
            change(new)
            self.objects.all[kind, name] = new

    def scale(self, kind, name, count):
        self.patch(kind, name, lambda d: d["spec"].__setitem__("replicas", count))

    def delete_object(self, kind, name):
        with self.lock:
            del self.objects.all[kind, name]

    def claim_path(self, claim):
        path = self.volumes.get(claim) or f"{self.state}/claims/{claim}"
        os.makedirs(path, exist_ok=True)
        return path

    # Pods.

    def pods_now(self):
        with self.lock:
            return list(self.pods.values())

    def of(self, owner):
        return [p for p in self.pods_now() if p.owner[1] == owner and not p.doomed.is_set()]

    def pod(self, name):
        return self.pods.get(name)

    def ready(self, *owners):
        """All pods of these workloads are there, of the newest template, and ready."""
        for owner in owners:
            spec = next(d["spec"] for _, name, d in self.objects.of("Deployment", "StatefulSet") if name == owner)
            pods, digest = [p for p in self.pods_now() if p.owner[1] == owner], controllers.digest_of(spec["template"])
            if len(pods) != spec.get("replicas", 1) or not all(p.ready and p.digest == digest and not p.doomed.is_set() for p in pods):
                return False
        return True

    def make(self, owner, name, template, digest, claims=()):
        spec = copy.deepcopy(template["spec"])
        for t in claims:
            claim = f"{t['metadata']['name']}-{name}"
            self.objects.all.setdefault(("PersistentVolumeClaim", claim), {**t, "kind": "PersistentVolumeClaim"})
            spec.setdefault("volumes", []).append({"name": t["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim}})
        try:
            if self.objects.restricted():
                security.admit(name, spec)
            pod = Pod(self, name, owner, spec, template["metadata"])
        except Refused as e:
            if str(e) not in self.refusals:
                self.refusals.add(str(e))
                self.log(f"FailedCreate: {e}")
            return
        pod.digest = digest
        self.pods[name] = pod
        pod.thread.start()

    def schedule(self, pod):
        """The node with the fewest pods of this workload, among those that take any."""
        with self.lock:
            free = [n for n in self.nodes if n not in self.cordoned]
            load = {n: [(p.owner == pod.owner) * 100 + 1 for p in self.pods.values() if p.node == n] for n in free}
            return min(free, key=lambda n: sum(load[n])) if free else None

    def remove(self, pod):
        if not pod.doomed.is_set():
            pod.event("terminating")
            pod.doomed.set()

    def delete(self, name):
        self.remove(self.pods[name])

    def forget(self, pod):
        with self.lock:
            self.pods.pop(pod.name, None)
            self.gone.append(pod)

    def evict(self, name):
        """The eviction API: PermissionError (429) while a budget does not allow it."""
        with self.lock:
            pod = self.pods[name]
            for _, budget, d in self.objects.of("PodDisruptionBudget"):
                if selects(d["spec"]["selector"], pod.labels):
                    self.within_budget(pod, budget, d["spec"])
            self.remove(pod)

    def within_budget(self, pod, budget, spec):
        covered = [p for p in self.pods.values() if selects(spec["selector"], p.labels)]
        owners = {p.owner for p in covered}
        expected = sum(self.objects.all[owner]["spec"].get("replicas", 1) for owner in owners)
        healthy = sum(p.ready and not p.doomed.is_set() for p in covered)
        need = share(spec["minAvailable"], expected, True) if "minAvailable" in spec else \
            expected - share(spec["maxUnavailable"], expected, True)
        if not pod.ready and (spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow" or healthy >= need):
            return
        if healthy - 1 < need:
            raise PermissionError(f"429: budget {budget}: {healthy} healthy, {need} needed")

    def drain(self, node, seconds):
        """kubectl drain: no new pods there, then evictions, tried again every 5 s. Returns refusals."""
        self.cordoned.add(node)
        left, refused, end = {p.name for p in self.pods_now() if p.node == node}, 0, time.monotonic() + seconds
        uids = {p.uid for p in self.pods_now() if p.node == node}
        while left:
            if time.monotonic() > end:
                raise TimeoutError(f"drain of {node}: {', '.join(sorted(left))} not gone within {seconds} s")
            for name in sorted(left):
                pod = self.pods.get(name)
                if pod and pod.uid in uids and not pod.doomed.is_set():
                    try:
                        self.evict(name)
                    except PermissionError as e:
                        refused += 1
                        self.log(f"drain: {name}: {e}")
            pause = time.monotonic() + 5
            while left and time.monotonic() < pause:
                left = {p.name for p in self.pods_now() if p.uid in uids}
                time.sleep(0.05)
        return refused

    def uncordon(self, node):
        self.cordoned.discard(node)

    def until(self, holds, seconds, said):
        """Waits; returns the seconds it took."""
        begin = time.monotonic()
        while not holds():
            if time.monotonic() - begin > seconds:
                now = "; ".join(f"{p.name} {p.phase}{' ready' if p.ready else ''} {' '.join(c.why for c in p.init + p.containers)}"
                                for p in self.pods_now())
                raise TimeoutError(f"not within {seconds} s: {said} ({now})")
            time.sleep(0.05)
        return time.monotonic() - begin
