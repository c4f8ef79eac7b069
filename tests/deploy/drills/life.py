"""What a run's life has anyway: start, scaling, maintenance, a new image, the end."""
import os
import time

import yaml

from standin.tools import run


def start(drill):
    """From nothing to a trained round: probes, restarts, the pods' limits as the containers see them."""
    seconds = drill.begin()
    cluster = drill.cluster
    drill.row("all pods ready", seconds, f"{len(cluster.pods_now())} pods")
    drill.row("first round trained", drill.until_round(1, 120))
    for pod in cluster.pods_now():
        drill.hold(drill.probe(pod, "/livez") == 200 and drill.probe(pod, "/readyz") == 200, f"{pod.owner[1]}: livez and readyz answer 200")
    pod = cluster.of("learner")[0]
    with open(f"/proc/{pod.main.pid}/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    drill.hold(status["Uid"].split()[0] == "10001" and status["CapEff"].strip("0") == "" and status["NoNewPrivs"] == "1"
               and status["Seccomp"] == "2", "uid 10001, no capability, no new privileges, seccomp")
    drill.hold(not drill.restarts(), "no restart", str(drill.restarts() or ""))
    drill.end()


def scale(drill, most=4):
    """Generators 1 -> 4 -> 1: who is new joins, who is taken leaves within its grace."""
    drill.begin(change=lambda c: c.scale("Deployment", "generator", 1))
    cluster = drill.cluster
    drill.until_round(2, 120)
    cluster.scale("Deployment", "generator", most)
    drill.row(f"1 -> {most}: all ready", drill.all_ready(120))
    drill.row(f"1 -> {most}: all lease", cluster.until(lambda: len(leasing(drill)) == most, 60, f"{most} generators lease"))
    drill.more_rounds(3, f"by {most}")
    before = cluster.of("generator")
    cluster.scale("Deployment", "generator", 1)
    seconds = cluster.until(lambda: sum(p in cluster.gone for p in before) == most - 1, 120, "one left")
    exits = [p.main.exit for p in before if p in cluster.gone]
    drill.row(f"{most} -> 1: the others gone", seconds, f"exits {exits}")
    drill.hold(exits == [0] * (most - 1), "they drained and ended with 0")
    drill.more_rounds(3, "by the one left")
    drill.end()


def leasing(drill):
    return [w for w in drill.workers() if w["kind"] == "generator" and w["leased"]] if drill.joined() else []


def eviction(drill):
    """The eviction API asks the budgets: each daemon's pod is evicted once, and one too many is refused."""
    drill.begin()
    cluster = drill.cluster
    drill.until_round(2, 120)
    generators = cluster.of("generator")
    cluster.evict(generators[0].name)
    try:
        cluster.evict(generators[1].name)
        drill.broken("the second generator was evicted beside the first")
    except PermissionError as e:
        drill.row("a second generator beside the first", note=str(e))
    drill.row("generator evicted: ready again", drill.all_ready(120))
    for owner in ("rewarder", "learner"):
        pod = cluster.of(owner)[0]
        cluster.evict(pod.name)
        cluster.until(lambda p=pod: p in cluster.gone, 150, "it has gone")
        drill.row(f"{owner} evicted: all ready again", drill.all_ready(150), f"exit {pod.main.exit}, {pod.events[-1][1]}")
        drill.more_rounds(2)
    drill.end()


def drain(drill):
    """kubectl drain of a node with the learner on it: everything moves to the other."""
    drill.begin()
    cluster = drill.cluster
    drill.until_round(2, 120)
    node = cluster.of("learner")[0].node
    there, begin = [p.name for p in cluster.pods_now() if p.node == node], time.monotonic()
    refused = cluster.drain(node, 240)
    drill.row("drained", time.monotonic() - begin, f"{len(there)} pods: {', '.join(sorted(there))}; refused {refused} times")
    drill.row("all ready on the other node", drill.all_ready(150))
    drill.hold(all(p.node != node for p in cluster.pods_now()), "nothing is left on it")
    drill.more_rounds(2)
    cluster.uncordon(node)
    drill.end()


def rollout(drill):
    """A new image with a recipe that gives another fingerprint (model.kv), in all three workloads: rounds go on."""
    drill.begin()
    cluster = drill.cluster
    drill.until_round(2, 120)
    container = run("buildah", "from", "--pull-never", drill.image)
    run("buildah", "config", "--label", f"rollout={os.urandom(4).hex()}", container)
    run("buildah", "commit", "-q", "--rm", container, "localhost/rlhfd:rollout")
    lineage = drill.last_line()["lineage"]
    _, old, recipe = cluster.objects.of("ConfigMap")[0]
    text = recipe["data"]["recipe.yaml"].replace("path: /data/sft}", "path: /data/sft, kv: fp32}")
    assert text != recipe["data"]["recipe.yaml"], "the recipe's model is not as the drill knows it"
    cluster.apply(yaml.safe_dump({**recipe, "metadata": {**recipe["metadata"], "name": "recipe-new"}, "data": {"recipe.yaml": text}}))

    def change(d):
        spec = d["spec"]["template"]["spec"]
        for c in spec["containers"] + spec["initContainers"]:
            c["image"] = "localhost/rlhfd:rollout"
        for volume in spec["volumes"]:
            if volume.get("configMap", {}).get("name") == old:
                volume["configMap"]["name"] = "recipe-new"
    for kind, name in (("Deployment", "generator"), ("Deployment", "rewarder"), ("StatefulSet", "learner")):
        cluster.patch(kind, name, change)
    drill.row("all pods of the new image are ready", drill.all_ready(300))
    drill.more_rounds(2)
    ends = [c.ended_with for p in cluster.gone for c in p.containers]
    drill.hold({code for codes in ends for code in codes} <= {0, 4}, "old pods ended with 0, or 4 where the new learner refused them", str(ends))
    drill.hold(not drill.restarts(), "no new pod was restarted", str(drill.restarts() or ""))
    code, text = drill.explain(drill.rounds())
    drill.hold(code == 0 and "kv=fp32" in text, "the newest version is of the new fingerprint")
    drill.hold(drill.last_line()["lineage"] == lineage, "in the same lineage: no round was lost")
    drill.end()


def complete(drill):
    """The run's end: the finished learner stays up and answers; nobody is restarted."""
    drill.begin(rounds=0)
    cluster = drill.cluster
    drill.row("the recipe's 256 rounds trained", drill.until_round(256, 400))
    drill.wait(45)
    learner = cluster.pod("learner-0")
    drill.hold(learner is not None and learner.ready and learner.restarts == 0, "45 s later the learner is ready, never restarted",
               f"{learner.phase}, {learner.restarts} restarts")
    states = {p.name: (p.ready, p.restarts, [c.why for c in p.containers]) for p in cluster.of("generator") + cluster.of("rewarder")}
    drill.hold(all(ready and not restarts for ready, restarts, _ in states.values()), "workers stay up, never restarted", str(states))
    drill.row("rlhfctl status", note=(drill.ctl("status", check=False).splitlines()[1:2] or ["no answer"])[0][:90])
    drill.end()


DRILLS = [start, scale, eviction, drain, rollout, complete]
