"""What drills share: a cluster with the manifests applied, the table of what was measured, questions to the run."""
import json
import os
import shutil
import subprocess
import sys
import time

from standin import Cluster
from standin.probe import http_get, port_of
from standin.tools import run

OWNERS = ("learner", "rewarder", "generator")


class Drill:
    def __init__(self, name, options, make=Cluster, state=None):
        self.name, self.whole, self.options = name, True, options
        self.top = os.environ["DRILL"]
        self.state = state or f"{self.top}/state/{name}"
        shutil.rmtree(self.state, ignore_errors=True)
        with open(options.manifests, encoding="utf-8") as file:
            self.manifests = file.read()
        self.cluster = make(self.state, volumes={"data": f"{self.top}/data"}, say=sys.stderr if options.say else None)
        print(f"\n{name}\n{'-' * len(name)}", flush=True)

    def close(self):
        self.cluster.close()

    # The table.

    def row(self, what, seconds=None, note=""):
        print(f"{what:58} {'' if seconds is None else f'{seconds:8.1f} s':>10}  {note}".rstrip(), flush=True)

    def broken(self, what):
        self.whole = False
        self.row("BROKEN", note=what)

    def hold(self, holds, what, note=""):
        """A promise: told in the table, and the drill fails where it does not hold."""
        if holds:
            print(f"{what:58} {'held':>10}  {note}".rstrip(), flush=True)
        else:
            self.broken(f"{what} {note}")

    # The cluster.

    def begin(self, change=None, rounds=1000000):
        """Applies the manifests; waits until all pods are ready: the seconds. The run is lengthened while it goes on: the example's
        256 rounds are over within a minute. 0: it ends as the recipe says."""
        self.cluster.apply(self.manifests)
        if change:
            change(self.cluster)
        seconds = self.all_ready(240)
        if rounds:
            self.ctl("set", f"run.rounds={rounds}", "--reason", "a drill")
        return seconds

    def edit_recipe(self, change):
        """The recipe of a run of one's own: a ConfigMap under its old name, before any pod has it."""
        for _, name, d in self.cluster.objects.of("ConfigMap"):
            old = d["data"]["recipe.yaml"]
            d["data"]["recipe.yaml"] = change(old)
            if d["data"]["recipe.yaml"] == old:
                raise AssertionError(f"the recipe in {name} is not as the drill knows it")

    def all_ready(self, seconds):
        return self.cluster.until(lambda: self.cluster.ready(*OWNERS), seconds, "all pods are ready")

    def wait(self, seconds):
        time.sleep(seconds)

    # Questions to the run.

    def ctl(self, *words, pod="learner-0", check=True):
        """rlhfctl in the learner's pod, as kubectl exec would start it."""
        p = self.cluster.pod(pod)
        return run("podman", "exec", p.main.id, "rlhfctl", *words, "--address", "127.0.0.1:7013", check=check)

    def workers(self):
        return json.loads(self.ctl("workers", "-o", "json"))["workers"]

    def joined(self):
        """Addresses of the workers that the learner has streams of."""
        try:
            return {w["peer"].split(":")[1] for w in self.workers() if w["state"] != "LOST"}
        except (RuntimeError, AttributeError, subprocess.TimeoutExpired, ValueError):
            return set()

    def run_dir(self, claim="run-learner-0"):
        return f"{self.cluster.claim_path(claim)}/run"

    def last_line(self, claim="run-learner-0"):
        """The newest round in metrics.jsonl; {} before the first."""
        try:
            with open(f"{self.run_dir(claim)}/metrics.jsonl", "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
                whole = [line for line in file.read().split(b"\n")[:-1] if line.startswith(b'{"round"')]
            return json.loads(whole[-1]) if whole else {}
        except OSError:
            return {}

    def rounds(self, claim="run-learner-0"):
        return self.last_line(claim).get("round", -1) + 1

    def until_round(self, count, seconds, claim="run-learner-0"):
        return self.cluster.until(lambda: self.rounds(claim) >= count, seconds, f"round {count} is trained")

    def more_rounds(self, count, by=""):
        self.row(f"{count} more rounds {by}".rstrip(), self.until_round(self.rounds() + count, 150))

    def probe(self, pod, path):
        try:
            return http_get(pod.ip, port_of(pod.main.spec, "probes"), path, 2)[0]
        except OSError:
            return 0

    @property
    def image(self):
        return self.cluster.objects.find("StatefulSet", "learner")["spec"]["template"]["spec"]["containers"][0]["image"]

    def job(self, *words, claim="run-learner-0"):
        """A program of the image on the run's volume, as a Job would mount it. (exit status, output)"""
        config = f"{self.state}/job"
        os.makedirs(config, exist_ok=True)
        for name, data in self.cluster.objects.config_map(next(n for _, n, _ in self.cluster.objects.of("ConfigMap"))).items():
            with open(f"{config}/{name}", "wb") as out:
                out.write(data)
        name = f"job-{os.urandom(4).hex()}"
        run("podman", "run", "-d", "--name", name, "--network", "none", "--read-only", "--user", "10001:10001", "-v", f"{config}:/etc/rlhfd:ro",
            "-v", f"{self.top}/data:/data:ro", "-v", f"{self.cluster.claim_path(claim)}:/var/lib/rlhfd",
            self.image, *words)
        code = int(run("podman", "wait", name, timeout=300))
        done = subprocess.run(["podman", "logs", name], capture_output=True, text=True, check=True)
        run("podman", "rm", "-f", "-t", "0", name, check=False)
        return code, (done.stdout + done.stderr).strip()

    def explain(self, version, claim="run-learner-0"):
        return self.job("rlhfd-learner", "/etc/rlhfd/recipe.yaml", "--run", "/var/lib/rlhfd/run", "--job", "explain", "--at", str(version),
                        "--output", "json", claim=claim)

    def audit(self, claim="run-learner-0"):
        code, text = self.job("rlhfd-learner", "/etc/rlhfd/recipe.yaml", "--run", "/var/lib/rlhfd/run", "--job", "audit", claim=claim)
        self.hold(code == 0, "audit of the store", text.splitlines()[-1] if text else "")

    def restarts(self):
        return {p.name: p.restarts for p in self.cluster.pods_now() if p.restarts}

    def stop_run(self):
        """Workers and learner to 0 pods, as for maintenance; then the store is audited."""
        for kind, name in (("Deployment", "generator"), ("Deployment", "rewarder"), ("StatefulSet", "learner")):
            self.cluster.scale(kind, name, 0)
        return self.cluster.until(lambda: not self.cluster.pods_now(), 180, "all pods are gone")

    def end(self):
        """The end of each drill: nothing was restarted that was not meant to be, the store has kept its promises."""
        self.row("all pods gone", self.stop_run(), "exits " + " ".join(sorted({str(c.exit) for p in self.cluster.gone for c in p.containers})))
        self.audit()
