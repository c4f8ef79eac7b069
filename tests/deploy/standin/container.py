"""One container of a pod: podman's arguments from its spec, its probes, its end."""
import json
import math
import os
import re
import signal
import time

from .probe import probe
from .tools import Refused, quantity, run
from .volumes import mounts

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


class Container:
    def __init__(self, pod, spec):
        self.pod, self.spec, self.name = pod, spec, spec["name"]
        self.restarts, self.exit, self.oom, self.pid = 0, None, False, None
        self.ready = self.started = False
        self.state, self.why = "waiting", ""
        self.not_before, self.delay, self.began = 0.0, 0.0, 0.0
        self.ended_with = []  # exit statuses, one a life

    @property
    def id(self):
        return f"{self.pod.id}-{self.name}-{self.restarts}"

    @property
    def log_path(self):
        return f"{self.pod.cluster.state}/logs/{self.id}.log"

    def environment(self):
        given = {}
        for source in self.spec.get("envFrom", []):
            kind, find = ("configMapRef", self.pod.cluster.objects.config_map) if "configMapRef" in source else \
                ("secretRef", self.pod.cluster.objects.secret)
            given.update({key: text.decode() for key, text in find(source[kind]["name"]).items()})
        for entry in self.spec.get("env", []):
            given[entry["name"]] = expand(entry["value"], given) if "value" in entry else self.reference(entry["valueFrom"])
        return given

    def reference(self, source):
        pod, objects = self.pod, self.pod.cluster.objects
        if "fieldRef" in source:
            path = source["fieldRef"]["fieldPath"]
            label = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)
            if label:
                return (pod.labels if label[1] == "labels" else pod.annotations).get(label[2], "")
            return {"metadata.name": pod.name, "metadata.namespace": objects.namespace, "metadata.uid": pod.uid, "status.podIP": pod.ip,
                    "spec.nodeName": pod.node}[path]
        if "configMapKeyRef" in source:
            return objects.config_map(source["configMapKeyRef"]["name"])[source["configMapKeyRef"]["key"]].decode()
        if "secretKeyRef" in source:
            return objects.secret(source["secretKeyRef"]["name"])[source["secretKeyRef"]["key"]].decode()
        wanted = source["resourceFieldRef"]
        bound, resource = wanted["resource"].split(".")
        return str(math.ceil(quantity(self.spec["resources"][bound][resource]) / quantity(wanted.get("divisor", 1))))

    def security(self):
        pod = self.pod.spec.get("securityContext", {})
        both = {**pod, **self.spec.get("securityContext", {})}
        user = both.get("runAsUser")
        if user is None:
            user = (run("podman", "image", "inspect", "-f", "{{.Config.User}}", self.spec["image"]) or "0").split(":")[0]
        if both.get("runAsNonRoot") and str(user) in ("0", "root"):
            raise Refused("container has runAsNonRoot and image will run as root")
        words = ["--user", f"{user}:{both.get('runAsGroup', user)}"]
        for group in [pod[key] for key in ("fsGroup",) if key in pod] + pod.get("supplementalGroups", []):
            words += ["--group-add", str(group)]
        if both.get("readOnlyRootFilesystem"):
            words += ["--read-only", "--read-only-tmpfs=false"]
        words += [f"--cap-drop={c}" for c in both.get("capabilities", {}).get("drop", [])]
        words += [f"--cap-add={c}" for c in both.get("capabilities", {}).get("add", [])]
        if both.get("allowPrivilegeEscalation") is False:
            words += ["--security-opt", "no-new-privileges"]
        if both.get("seccompProfile", {"type": "Unconfined"})["type"] == "Unconfined":  # Kubernetes' default is none
            words += ["--security-opt", "seccomp=unconfined"]
        return words

    def limits(self):
        resources, words = self.spec.get("resources", {}), []
        if "memory" in resources.get("limits", {}):
            size = str(int(quantity(resources["limits"]["memory"])))
            words += ["--memory", size, "--memory-swap", size]
        if "cpu" in resources.get("limits", {}):
            words += ["--cpus", str(quantity(resources["limits"]["cpu"]))]
        if "cpu" in resources.get("requests", {}):
            words += ["--cpu-shares", str(max(2, int(quantity(resources["requests"]["cpu"]) * 1024)))]
        return words

    def start(self):
        pod, spec = self.pod, self.spec
        given = self.environment()
        pidfile = f"{pod.dir}/{self.name}.pid"
        words = ["podman", "run", "-d", "--name", self.id, "--network", f"ns:/run/netns/{pod.id}", "--pull", "never",
                 "--pidfile", pidfile, "--log-driver", "k8s-file", "--log-opt", f"path={self.log_path}", "--no-hosts",
                 "-v", f"{pod.dir}/hosts:/etc/hosts:ro", "-v", f"{pod.dir}/resolv.conf:/etc/resolv.conf:ro",
                 "-v", f"{pod.dir}/hostname:/etc/hostname:ro", "--hostname", pod.name]
        words += self.security() + self.limits() + mounts(pod, spec)
        for key, value in given.items():
            words += ["-e", f"{key}={value}"]
        if "workingDir" in spec:
            words += ["--workdir", spec["workingDir"]]
        if "command" in spec:
            words += ["--entrypoint", json.dumps([expand(w, given) for w in spec["command"]])]
        run(*words, spec["image"], *[expand(w, given) for w in spec.get("args", [])])
        with open(pidfile, encoding="ascii") as file:
            self.pid = int(file.read())
        self.state, self.why, self.exit = "running", "", None
        self.memory = self.memory_home()
        self.began = time.monotonic()
        self.started = "startupProbe" not in spec
        self.ready = self.started and "readinessProbe" not in spec
        self.due = {key: self.began + spec[key].get("initialDelaySeconds", 0) for key in PROBES if key in spec}
        self.good, self.bad = dict.fromkeys(self.due, 0), dict.fromkeys(self.due, 0)

    def alive(self):
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
                return file.read().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def look(self):
        """Probes that are due. True when liveness or startup gave up: the container is to be killed."""
        for key, spec in ((k, self.spec[k]) for k in PROBES if k in self.spec):
            if (key == "startupProbe") == self.started or time.monotonic() < self.due[key]:
                continue
            good = probe(spec, self.pod.ip, self.spec, self.id)
            self.due[key] = time.monotonic() + spec.get("periodSeconds", 10)
            self.good[key], self.bad[key] = (self.good[key] + 1, 0) if good else (0, self.bad[key] + 1)
            if key == "readinessProbe":
                self.count_readiness(spec)
            elif self.bad[key] >= spec.get("failureThreshold", 3):
                self.pod.event(f"{self.name}: {key} failed {self.bad[key]} times: killed")
                return True
            elif key == "startupProbe" and good:
                self.started = True
                self.ready = "readinessProbe" not in self.spec
                self.due = dict.fromkeys(self.due, time.monotonic())
        return False

    def count_readiness(self, spec):
        if self.good["readinessProbe"] >= spec.get("successThreshold", 1) and not self.ready:
            self.ready = True
            self.pod.event(f"{self.name}: ready")
        elif self.bad["readinessProbe"] >= spec.get("failureThreshold", 3) and self.ready:
            self.ready = False
            self.pod.event(f"{self.name}: not ready")

    def signal(self, number):
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def stop(self, grace):
        """preStop, TERM, and KILL when the grace is over: preStop counts."""
        hook, end = self.spec.get("lifecycle", {}).get("preStop", {}), time.monotonic() + grace
        if "sleep" in hook:
            time.sleep(min(grace, hook["sleep"]["seconds"]))
        elif "exec" in hook:
            try:
                run("podman", "exec", self.id, *hook["exec"]["command"], timeout=max(1, grace))
            except Exception as e:  # the kubelet goes on, too
                self.pod.event(f"{self.name}: FailedPreStopHook: {e}")
        self.signal(signal.SIGTERM)
        while self.alive() and time.monotonic() < max(end, self.began + 0.5):
            time.sleep(0.02)
        if self.alive():
            self.pod.event(f"{self.name}: SIGKILL after {grace} s of grace")
            self.signal(signal.SIGKILL)
        self.ended()

    def memory_home(self):
        """The file that counts kills at its memory limit; empty for one that has ended already."""
        try:
            with open(f"/proc/{self.pid}/cgroup", encoding="ascii") as file:
                groups = [line.rstrip("\n").split(":", 2)[1:] for line in file]
        except OSError:
            return ""
        for controllers, path in groups:
            if controllers == "memory":
                return f"/sys/fs/cgroup/memory{path}/memory.oom_control"
            if not controllers and os.path.exists(f"/sys/fs/cgroup{path}/memory.events"):
                return f"/sys/fs/cgroup{path}/memory.events"
        return ""

    def oom_kills(self):
        try:
            with open(self.memory, encoding="ascii") as file:
                return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        except OSError:
            return 0

    def ended(self):
        """What podman says of the end; the container is removed, its log stays."""
        killed = self.oom_kills()
        run("podman", "wait", self.id, check=False)
        code, oom = run("podman", "inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}}", self.id).split()
        self.exit, self.oom = int(code), oom == "true" or killed > 0
        self.ended_with.append(self.exit)
        self.state, self.ready, self.started = "ended", False, False
        run("podman", "rm", "-f", "-t", "0", self.id, check=False)


def expand(text, given):
    """$(NAME) as Kubernetes expands it; $$(NAME) stays."""
    return re.sub(r"\$(\$?)\((\w+)\)", lambda m: f"$({m[2]})" if m[1] else given.get(m[2], m[0]), text)
