"""Controllers: one step of each workload towards what its object asks for. Called in turns by the cluster's thread."""
import hashlib
import json
import os

from .tools import share


def digest_of(template):
    return hashlib.sha1(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]


def reconcile(cluster):
    for kind, name, d in cluster.objects.of("Deployment", "StatefulSet", "Job", "Pod"):
        owner = (kind, name)
        mine = [p for p in cluster.pods_now() if p.owner == owner]
        if kind == "Pod":
            if not mine:
                cluster.make(owner, name, d, "")
            continue
        {"Deployment": deployment, "StatefulSet": stateful_set, "Job": job}[kind](cluster, owner, d["spec"], mine)
    for pod in cluster.pods_now():  # of workloads that were deleted
        if not cluster.objects.find(*pod.owner):
            cluster.remove(pod)


def deployment(cluster, owner, spec, mine):
    """RollingUpdate within maxSurge and maxUnavailable, or Recreate."""
    digest, want = digest_of(spec["template"]), spec.get("replicas", 1)
    strategy = spec.get("strategy", {})
    rolling = strategy.get("rollingUpdate", {})
    surge, lacking = share(rolling.get("maxSurge", "25%"), want, True), share(rolling.get("maxUnavailable", "25%"), want, False)
    alive = [p for p in mine if not p.doomed.is_set()]
    new, old = [p for p in alive if p.digest == digest], [p for p in alive if p.digest != digest]
    if strategy.get("type") == "Recreate":
        for p in old:
            cluster.remove(p)
        missing = 0 if old or any(p.digest != digest for p in mine) else want - len(new)
    else:
        missing = min(want - len(new), want + surge - len(alive) if old else want - len(new))
        spare = sum(p.ready for p in alive) - (want - lacking)
        for p in sorted(old, key=lambda p: p.ready):
            if p.ready and spare <= 0:
                break
            spare -= p.ready
            cluster.remove(p)
    for _ in range(missing):
        cluster.make(owner, f"{owner[1]}-{digest}-{os.urandom(3).hex()[:5]}", spec["template"], digest)
    # Those that are not ready go first, then the youngest.
    for p in sorted(new, key=lambda p: (p.ready, -p.created))[:max(0, len(new) - want)]:
        cluster.remove(p)


def stateful_set(cluster, owner, spec, mine):
    """OrderedReady: one at a time, up in order and down against it; a name is free when its pod has gone."""
    digest, want = digest_of(spec["template"]), spec.get("replicas", 1)
    by_number = {int(p.name.rsplit("-", 1)[1]): p for p in mine}
    if any(p.doomed.is_set() for p in mine):
        return
    beyond = [n for n in by_number if n >= want]
    missing = [n for n in range(want) if n not in by_number]
    if beyond:
        cluster.remove(by_number[max(beyond)])
    elif missing and all(by_number[n].ready for n in range(missing[0])):
        cluster.make(owner, f"{owner[1]}-{missing[0]}", spec["template"], digest, spec.get("volumeClaimTemplates", []))
    elif not missing:
        old = [n for n in by_number if by_number[n].digest != digest]
        # A pod that is not ready holds the roll-out up, unless it is the next to be replaced.
        unready = [n for n in by_number if not by_number[n].ready]
        if old and (not unready or unready == [max(old)]):
            cluster.remove(by_number[max(old)])


def job(cluster, owner, spec, mine):
    failed = sum(p.phase == "Failed" for p in mine)
    if not any(p.phase == "Succeeded" for p in mine) and failed == len(mine) and failed <= spec.get("backoffLimit", 6):
        cluster.make(owner, f"{owner[1]}-{os.urandom(3).hex()[:5]}", spec["template"], digest_of(spec["template"]))
