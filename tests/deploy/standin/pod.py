"""A pod: a network namespace of its own, its containers in turn, and one thread that does what a kubelet does for it."""
import os
import shutil
import threading
import time

from .container import Container
from .tools import Refused, known, run

BACKOFF_MAX = 300.0   # seconds, as the kubelet's
BACKOFF_FRESH = 600.0  # a container that ran so long begins again at the first delay


class Pod:
    def __init__(self, cluster, name, owner, spec, metadata):
        known("pod", spec, name)
        self.cluster, self.name, self.owner, self.spec = cluster, name, owner, spec
        self.labels, self.annotations = dict(metadata.get("labels", {})), metadata.get("annotations", {})
        self.uid = os.urandom(4).hex()
        self.id = f"{name}-{self.uid}"
        self.dir = f"{cluster.state}/pods/{self.id}"
        self.ip = self.node = None
        self.phase, self.why, self.events, self.created = "Pending", "", [], cluster.seconds()
        self.init = [Container(self, c) for c in spec.get("initContainers", [])]
        self.containers = [Container(self, c) for c in spec["containers"]]
        for c in self.init + self.containers:
            known("container", c.spec, f"{name}/{c.name}")
        self.grace = spec.get("terminationGracePeriodSeconds", 30)
        self.doomed = threading.Event()
        self.thread = threading.Thread(target=self.live, name=name, daemon=True)

    main = property(lambda self: next((c for c in self.containers if c.name == self.owner[1]), self.containers[0]))
    ready = property(lambda self: self.phase == "Running" and all(c.ready for c in self.containers))
    restarts = property(lambda self: sum(c.restarts for c in self.containers))

    def event(self, text):
        self.events.append((self.cluster.seconds(), text))
        self.cluster.log(f"{self.name}: {text}")

    def live(self):
        try:
            self.wait_for_node()
            if not self.doomed.is_set():
                self.join_network()
                for c in self.init:
                    if not self.run_to_end(c):
                        break
                else:
                    self.watch()
            self.leave()
        except Exception as e:
            if self.cluster.over.is_set():  # its containers were removed under it
                return
            self.phase, self.why = "Failed", f"the stand-in failed: {e}"
            self.event(self.why)
            raise

    def wait_for_node(self):
        while not self.doomed.is_set() and not self.node:
            self.node = self.cluster.schedule(self)
            time.sleep(0 if self.node else 0.1)

    def join_network(self):
        os.makedirs(self.dir, exist_ok=True)
        self.ip = self.cluster.network.join(self)
        texts = {"hosts": f"127.0.0.1 localhost\n{self.ip} {self.name}\n", "hostname": f"{self.name}\n",
                 "resolv.conf": self.cluster.network.resolv_conf()}
        for name, text in texts.items():
            with open(f"{self.dir}/{name}", "w", encoding="ascii") as out:
                out.write(text)

    def begin(self, container):
        """Starts it; a fault of its configuration is tried again, as the kubelet does."""
        try:
            container.start()
            self.event(f"{container.name}: started" + (f", restart {container.restarts}" if container.restarts else ""))
        except (Refused, KeyError, RuntimeError) as e:
            run("podman", "rm", "-f", "-t", "0", container.id, check=False)
            reason = f"CreateContainerConfigError: {e}"
            if container.why != reason:
                self.event(f"{container.name}: {reason}")
            container.state, container.why, container.not_before = "waiting", reason, time.monotonic() + 2

    def run_to_end(self, container):
        """An init container, until it succeeds. False if the pod is to go."""
        while not self.doomed.is_set():
            if container.state != "running" and time.monotonic() >= container.not_before:
                self.begin(container)
            elif container.state == "running" and not container.alive():
                container.ended()
                if container.exit == 0:
                    return True
                self.again(container)
            time.sleep(0.03)
        if container.state == "running":
            container.stop(self.grace)
        return False

    def again(self, container):
        """The pause before a restart: none but the kubelet's own second at first, then 10 s, doubled each time."""
        if time.monotonic() - container.began > BACKOFF_FRESH:
            container.delay = 0.0
        oom = ", OOMKilled" if container.oom else ""
        self.event(f"{container.name}: ended with {container.exit}{oom}; again in {max(1, container.delay):.0f} s")
        container.state, container.why = "waiting", "CrashLoopBackOff"
        container.not_before = time.monotonic() + max(1, container.delay)
        container.delay = min(container.delay * 2 or 10.0, BACKOFF_MAX)
        container.restarts += 1

    def watch(self):
        """The containers, until the pod is to go or has ended."""
        policy = self.spec.get("restartPolicy", "Always")
        self.phase = "Running"
        while not self.doomed.is_set():
            for c in self.containers:
                if c.state == "waiting" and time.monotonic() >= c.not_before:
                    self.begin(c)
                elif c.state == "running" and not c.alive():
                    c.ended()
                elif c.state == "running" and c.look():
                    c.stop(self.grace)
                if c.state == "ended" and (policy == "Always" or (policy == "OnFailure" and c.exit)):
                    self.again(c)
            if all(c.state == "ended" for c in self.containers):
                self.phase = "Succeeded" if not any(c.exit for c in self.containers) else "Failed"
                self.event(self.phase)
                self.doomed.wait()
            time.sleep(0.03)

    def leave(self):
        """The end of a pod that was deleted."""
        begin = time.monotonic()
        if self.phase not in ("Succeeded", "Failed"):
            self.phase = "Terminating"
        self.cluster.network.changed()
        stops = [threading.Thread(target=c.stop, args=(self.grace,)) for c in self.containers if c.state == "running"]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()
        codes = ", ".join(str(c.exit) for c in self.containers)
        self.event(f"gone after {time.monotonic() - begin:.1f} s, exit {codes}")
        if self.ip:
            self.cluster.network.leave(self)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.phase = "Gone"
        self.cluster.forget(self)
