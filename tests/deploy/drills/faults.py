"""Faults: pods that go without a word, memory limits, few files, a replay that outlasts the probes."""
import os
import signal
import subprocess
import sys
import time

# Takes memory in the cgroup of the process whose number it gets, until that process has gone. The kernel's choice is that process: its
# score is the highest that there is.
HOG = """
import os, sys, time
pid = int(sys.argv[1])
for line in open(f"/proc/{pid}/cgroup"):
    number, controllers, path = line.rstrip("\\n").split(":", 2)
    for home in ([f"/sys/fs/cgroup/memory{path}"] if controllers == "memory" else [f"/sys/fs/cgroup{path}"] if not controllers else []):
        if os.path.exists(f"{home}/memory.max") or os.path.exists(f"{home}/memory.limit_in_bytes"):
            open(f"{home}/cgroup.procs", "w").write(str(os.getpid()))
open(f"/proc/{pid}/oom_score_adj", "w").write("1000")
held = []
while os.path.exists(f"/proc/{pid}") and len(held) < 4096:
    held.append(b"x" * (1 << 20))
time.sleep(3)  # the cgroup stays, and with it its count of kills
"""


def throttle(pod, percent):
    """How much of one core the container gets; None: all that there is."""
    for line in open(f"/proc/{pod.main.pid}/cgroup", encoding="ascii"):
        _, controllers, path = line.rstrip("\n").split(":", 2)
        if "cpu" in controllers.split(","):
            with open(f"/sys/fs/cgroup/cpu{path}/cpu.cfs_quota_us", "w", encoding="ascii") as out:
                out.write(str(percent * 1000 if percent else -1))
        elif not controllers:
            home = f"/sys/fs/cgroup{path}/cpu.max"
            if os.path.exists(home):
                with open(home, "w", encoding="ascii") as out:
                    out.write(f"{percent * 1000 if percent else 'max'} 100000")


def learner(drill):
    """The learner's pod is deleted and comes back with another address: who was there joins again."""
    drill.begin()
    cluster = drill.cluster
    drill.until_round(3, 120)
    old, workers = cluster.pod("learner-0"), drill.joined()
    cluster.delete("learner-0")
    begin = time.monotonic()
    drill.row("the old pod gone", cluster.until(lambda: old in cluster.gone, 150, "gone"), f"exit {old.main.exit}")
    drill.row("the new pod ready", cluster.until(lambda: cluster.ready("learner"), 120, "ready"), f"{old.ip} -> {cluster.pod('learner-0').ip}")
    seconds = cluster.until(lambda: workers <= drill.joined(), 60, "all workers joined again")
    drill.row("all workers joined again after it was ready", seconds, f"{len(workers)} workers")
    drill.hold(seconds <= 5, "within 5 s")
    rounds = drill.rounds()
    drill.until_round(rounds + 1, 150)
    drill.row("from the deletion to new rounds", time.monotonic() - begin)
    drill.hold(not drill.restarts(), "no worker was restarted", str(drill.restarts() or ""))
    drill.end()


def kill(drill):
    """Each daemon gets SIGKILL once: one restart each, rounds go on."""
    drill.begin()
    cluster = drill.cluster
    drill.until_round(2, 120)
    for owner in ("generator", "rewarder", "learner"):
        pod = cluster.of(owner)[0]
        begin = time.monotonic()
        pod.main.signal(signal.SIGKILL)
        cluster.until(lambda p=pod: p.restarts == 1, 30, "it was restarted")
        drill.all_ready(120)
        drill.row(f"{owner} killed: all ready again", time.monotonic() - begin, next(text for _, text in pod.events if "ended with" in text))
        drill.more_rounds(2)
    drill.hold(sum(drill.restarts().values()) == 3, "one restart each", str(drill.restarts()))
    drill.end()


def memory(drill):
    """Each daemon is killed once by the kernel at its container's memory limit."""
    drill.begin()
    cluster = drill.cluster
    drill.until_round(2, 120)
    for owner in ("generator", "rewarder", "learner"):
        pod = cluster.of(owner)[0]
        hog = subprocess.Popen([sys.executable, "-c", HOG, str(pod.main.pid)], stderr=subprocess.PIPE, text=True)
        cluster.until(lambda p=pod: p.restarts == 1, 60, f"{owner} was killed at its limit")
        hog.kill()
        hog.wait()
        killed = next(text for _, text in pod.events if "ended with" in text)
        drill.hold("137, OOMKilled" in killed, f"{owner}: killed at its limit", killed)
        drill.row(f"{owner}: all ready again", drill.all_ready(150))
        drill.more_rounds(2)
    drill.hold(sum(drill.restarts().values()) == 3, "one restart each", str(drill.restarts()))
    drill.end()


def files(drill):
    """A runtime that gives 1,024 open files: the run goes on, and what may run out is told."""
    drill.begin()
    cluster = drill.cluster
    pod = cluster.pod("learner-0")
    with open(f"/proc/{pod.main.pid}/limits", encoding="ascii") as file:
        line = next(x for x in file if x.startswith("Max open files"))
    drill.hold(line.split()[3:5] == ["1024", "1024"], "the learner's limit", " ".join(line.split()[3:5]))
    cluster.scale("Deployment", "generator", 4)
    drill.row("four generators ready", drill.all_ready(120))
    drill.more_rounds(10, "by four")
    for p in cluster.pods_now():
        drill.row(f"{p.owner[1]}: open files", note=str(len(os.listdir(f"/proc/{p.main.pid}/fd"))))
    drill.hold(not drill.restarts(), "no restart", str(drill.restarts() or ""))
    drill.end()


def replay(drill):
    """The learner replays for longer than its liveness probe forgives: it stays, is not ready, and then is."""
    budget = {}

    def no_checkpoints(cluster):
        drill.edit_recipe(lambda text: text.replace("every: 32", "every: 100000"))
        spec = cluster.objects.find("StatefulSet", "learner")["spec"]["template"]["spec"]["containers"][0]
        for key in ("startupProbe", "livenessProbe"):
            budget[key] = spec[key].get("periodSeconds", 10) * spec[key].get("failureThreshold", 3)
    drill.begin(change=no_checkpoints)
    cluster = drill.cluster
    pod = cluster.pod("learner-0")
    drill.until_round(200, 400)
    before = drill.rounds()
    pod.main.signal(signal.SIGKILL)
    cluster.until(lambda: pod.restarts == 1 and pod.main.state == "running", 30, "started again")
    throttle(pod, 5)
    begin = time.monotonic()
    drill.row("livez answers while it replays", cluster.until(lambda: drill.probe(pod, "/livez") == 200, 60, "livez answers"))
    unready = drill.probe(pod, "/readyz")
    cluster.until(lambda: cluster.ready("learner"), 900, "the learner is ready")
    throttle(pod, None)
    seconds = time.monotonic() - begin
    drill.row(f"replayed {before} rounds", seconds, f"readyz {unready} meanwhile; liveness forgives {budget['livenessProbe']} s")
    drill.hold(seconds > budget["livenessProbe"], "that was longer than liveness forgives")
    drill.hold(pod.restarts == 1, "not restarted by a probe")
    drill.row("all ready again", drill.all_ready(120))
    drill.more_rounds(2)
    drill.end()


def partition(drill):
    """No packet between the learner and the others for 60 s: nobody is restarted, and the ring goes on by itself."""
    drill.begin()
    cluster = drill.cluster
    drill.until_round(2, 120)
    workers, pod = drill.joined(), cluster.pod("learner-0")
    for ip in workers:
        cluster.network.cut(pod.ip, ip)
    drill.wait(60)
    still = drill.rounds()
    drill.row("cut off for 60 s", note=f"not ready: {', '.join(p.name for p in cluster.pods_now() if not p.ready) or 'nobody'}")
    drill.hold(not drill.restarts(), "nobody was restarted", str(drill.restarts() or ""))
    for ip in workers:
        cluster.network.cut(pod.ip, ip, on=False)
    begin = time.monotonic()
    cluster.until(lambda: workers <= drill.joined() and drill.rounds() > still, 120, "all joined, and a new round")
    drill.row("joined again, and a new round", time.monotonic() - begin)
    drill.row("all ready", drill.all_ready(60))
    drill.more_rounds(2)
    drill.end()


DRILLS = [learner, partition, kill, memory, files, replay]
