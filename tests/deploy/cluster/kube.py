"""The real cluster behind the face of standin.Cluster, as far as drills use it: pods as the API shows them, kept by a watch."""
import json
import os
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

import yaml

from standin.tools import Journal, run

from . import older

NAMESPACE = "rlhfd"
CPU_SHARE = 0.2
SOCKET = "/run/containerd/containerd.sock"
WORKLOADS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


def kubectl(*words, **more):
    return run("kubectl", "-n", NAMESPACE, *words, **more)


class Api:
    """The API over HTTP, with the token and the server of KUBECONFIG."""

    def __init__(self):
        with open(os.environ["KUBECONFIG"], encoding="utf-8") as file:
            config = yaml.safe_load(file)
        self.server, self.token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
        self.tls = ssl._create_unverified_context()  # a certificate of its own making, on loopback

    def open(self, method, path, body=None, timeout=10):
        request = urllib.request.Request(self.server + path, method=method, data=json.dumps(body).encode() if body else None, headers={
            "Authorization": "Bearer " + self.token,
            "Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"})
        return urllib.request.urlopen(request, context=self.tls, timeout=timeout)

    def ask(self, method, path, body=None):
        with self.open(method, path, body) as answer:
            return json.load(answer)


class Container:
    def __init__(self, pod, name):
        self.pod, self.name = pod, name
        self.spec = next(c for c in pod.object["spec"]["containers"] if c["name"] == name)
        self.restarts, self.exit, self.why, self.ended_with, self.id = 0, None, "", [], ""

    def update(self, status):
        self.id = status.get("containerID", "").removeprefix("containerd://")
        self.why = next((s.get("reason", "") for s in status["state"].values()), "")
        self.restarts = status["restartCount"]

    def ended(self, code):
        self.exit = code
        self.ended_with.append(code)
        self.pod.ended = time.monotonic()
        self.pod.event(f"{self.name}: ended with {code}")

    @property
    def pid(self):
        with open(f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{self.id}/init.pid", encoding="ascii") as file:
            return int(file.read())

    def signal(self, number):
        os.kill(self.pid, number)


class Pod:
    def __init__(self, cluster, object_):
        self.cluster, self.object, self.events, self.deleted, self.ended = cluster, object_, [], None, None
        self.name, self.uid = object_["metadata"]["name"], object_["metadata"]["uid"]
        self.labels = object_["metadata"].get("labels", {})
        self.owner = ("", self.labels.get("app.kubernetes.io/name", self.name))
        self.containers = [Container(self, c["name"]) for c in object_["spec"]["containers"]]

    main = property(lambda self: next((c for c in self.containers if c.name == self.owner[1]), self.containers[0]))
    status = property(lambda self: self.object.get("status", {}))
    phase = property(lambda self: self.status.get("phase", ""))
    ip = property(lambda self: self.status.get("podIP"))
    node = property(lambda self: self.object["spec"].get("nodeName"))
    restarts = property(lambda self: sum(c.restarts for c in self.containers))
    ready = property(lambda self: not self.deleted and any(c["type"] == "Ready" and c["status"] == "True"
                                                            for c in self.status.get("conditions", [])))

    def event(self, text):
        self.events.append((self.cluster.seconds(), text))
        self.cluster.log(f"{self.name}: {text}")

    def update(self, object_):
        was = (self.phase, self.ready, self.ip)
        self.object = object_
        if object_["metadata"].get("deletionTimestamp") and not self.deleted:
            self.deleted = time.monotonic()
            self.event("terminating")
        for status in self.status.get("containerStatuses", []):
            next(c for c in self.containers if c.name == status["name"]).update(status)
        if was != (self.phase, self.ready, self.ip):
            self.event(f"{self.phase}{' ready' if self.ready else ''} {self.ip}")


class Cluster(Journal):
    def __init__(self, state, volumes=None, say=None):
        self.state, self.volumes, self.say, self.begin = state, volumes or {}, say, time.monotonic()
        self.api, self.pods, self.gone, self.lock, self.over = Api(), {}, [], threading.RLock(), threading.Event()
        self.manifests = []
        os.makedirs(f"{state}/claims", exist_ok=True)
        self.events = open(f"{state}/events.log", "a", encoding="utf-8")
        # Exits as containerd tells them: a kubelet of 1.20 may take a pod away before it has told the API their status.
        self.runtime = subprocess.Popen(["ctr", "-a", SOCKET, "-n", "k8s.io", "events"], stdout=subprocess.PIPE, text=True)
        for work in (self.watch, self.listen):
            threading.Thread(target=work, daemon=True).start()

    def watch(self):
        """Pods as they change. A watch that ends is begun again: it first tells all that there are."""
        while not self.over.is_set():
            try:
                path = f"/api/v1/namespaces/{NAMESPACE}/pods"
                listed = self.api.ask("GET", path)
                self.relist(listed["items"])
                with self.api.open("GET", f"{path}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}", timeout=3600) as lines:
                    for line in lines:
                        self.see(json.loads(line))
            except (OSError, ValueError, KeyError):
                self.over.wait(0.2)

    def listen(self):
        for line in self.runtime.stdout:
            _, exited, text = line.partition(" /tasks/exit ")
            said = json.loads(text) if exited else {}
            if said and said["container_id"] == said["id"]:
                with self.lock:
                    for c in (c for p in self.pods.values() for c in p.containers if c.id == said["id"]):
                        c.ended(said.get("exit_status", 0))

    def relist(self, items):
        there = {o["metadata"]["uid"] for o in items}
        for uid in [u for u in self.pods if u not in there]:
            self.see({"type": "DELETED", "object": self.pods[uid].object})
        for o in items:
            self.see({"type": "MODIFIED", "object": o})

    def see(self, event):
        object_ = event["object"]
        uid = object_["metadata"]["uid"]
        with self.lock:
            pod = self.pods.get(uid) or self.pods.setdefault(uid, Pod(self, object_))
            pod.update(object_)
            if event["type"] == "DELETED":
                daemon = f", its daemon after {pod.ended - pod.deleted:.1f} s" if pod.ended and pod.deleted else ""
                took = time.monotonic() - (pod.deleted or time.monotonic())
                pod.event(f"gone after {took:.1f} s{daemon}, exit {', '.join(str(c.exit) for c in pod.containers)}")
                self.gone.append(self.pods.pop(uid))

    def close(self):
        self.over.set()
        self.runtime.kill()
        self.runtime.wait()

    # Objects.

    def apply(self, text):
        """By kubectl, as an operator does, in the shape that 1.20 takes; before it the classes and the volumes of a cluster."""
        here = os.path.dirname(os.path.abspath(__file__))
        run("kubectl", "apply", "-k", os.path.join(here, "../../../deploy/k8s/cluster"))
        self.manifests = [d for d in yaml.safe_load_all(text) if d]
        new = [older.older(d) for d in self.manifests]
        for d in new:
            older.smaller(d, CPU_SHARE)
        run("kubectl", "apply", "-f", "-", input=yaml.safe_dump_all(list(self.disks()) + new))

    def disks(self):
        """A volume for each claim: directories of this node, with the owner that fsGroup would give (a hostPath gets none)."""
        for claim, mode in (("data", "ReadWriteMany"), ("run-learner-0", "ReadWriteOnce")):
            path = self.claim_path(claim)
            if claim not in self.volumes:
                os.chown(path, 10001, 10001)
            yield {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": claim}, "spec": {
                "capacity": {"storage": "2Gi"}, "accessModes": [mode], "hostPath": {"path": path},
                "claimRef": {"namespace": NAMESPACE, "name": claim}}}

    def claim_path(self, claim):
        path = self.volumes.get(claim) or f"{self.state}/claims/{claim}"
        os.makedirs(path, exist_ok=True)
        return path

    def workload(self, owner):
        kind = next(d["kind"] for d in self.manifests if d["kind"] in WORKLOADS and d["metadata"]["name"] == owner)
        return f"/apis/apps/v1/namespaces/{NAMESPACE}/{WORKLOADS[kind]}/{owner}"

    def scale(self, kind, name, count):
        self.api.ask("PATCH", f"/apis/apps/v1/namespaces/{NAMESPACE}/{WORKLOADS[kind]}/{name}/scale", {"spec": {"replicas": count}})

    # Pods.

    def pods_now(self):
        with self.lock:
            return [p for p in self.pods.values() if p.labels.get("app.kubernetes.io/part-of") == "rlhfd"]

    def of(self, owner):
        return [p for p in self.pods_now() if p.owner[1] == owner and not p.deleted]

    def pod(self, name):
        return next((p for p in self.pods_now() if p.name == name), None)

    def ready(self, *owners):
        """All pods of these workloads are there, of the newest template, and ready; who is on its way out does not count."""
        for owner in owners:
            d = self.api.ask("GET", self.workload(owner))
            want, status = d["spec"]["replicas"], d["status"]
            pods = self.of(owner)
            if status.get("observedGeneration", 0) < d["metadata"]["generation"] or status.get("updatedReplicas", 0) != want or \
                    len(pods) != want or not all(p.ready for p in pods):
                return False
        return True

    def seen_off(self, pod):
        self.until(lambda: pod.deleted or pod in self.gone, 10, f"{pod.name} is terminating")

    def delete(self, name):
        pod = self.pod(name)
        self.api.ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")
        self.seen_off(pod)

    def evict(self, name):
        """The eviction API: PermissionError (429) while a budget does not allow it."""
        pod = self.pod(name)
        try:
            self.api.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", {
                "apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}})
        except urllib.error.HTTPError as e:
            if e.code != 429:
                raise
            raise PermissionError(f"429: {json.load(e)['message']}") from None
        self.seen_off(pod)

    def until(self, holds, seconds, said):
        """Waits; returns the seconds it took."""
        begin = time.monotonic()
        while not holds():
            if time.monotonic() - begin > seconds:
                now = "; ".join(f"{p.name} {p.phase}{' ready' if p.ready else ''} {' '.join(c.why for c in p.containers)}"
                                for p in self.pods_now())
                raise TimeoutError(f"not within {seconds} s: {said} ({now})")
            time.sleep(0.05)
        return time.monotonic() - begin
