"""Manifests as Kubernetes 1.20 takes them, with each change as a row of LACKS."""
import copy


def old_policy(d):
    d["apiVersion"] = "policy/v1beta1"


def no_unhealthy_policy(d):
    del d["spec"]["unhealthyPodEvictionPolicy"]


def no_retention(d):
    del d["spec"]["persistentVolumeClaimRetentionPolicy"]


# Kind, what 1.20 lacks, the version that has it, whether an object needs the change, the change.
LACKS = [
    ("PodDisruptionBudget", "policy/v1", "1.21", lambda d: d["apiVersion"] == "policy/v1", old_policy),
    ("PodDisruptionBudget", "unhealthyPodEvictionPolicy", "1.27", lambda d: "unhealthyPodEvictionPolicy" in d["spec"], no_unhealthy_policy),
    ("StatefulSet", "persistentVolumeClaimRetentionPolicy", "1.27", lambda d: "persistentVolumeClaimRetentionPolicy" in d["spec"],
     no_retention),
]


def lacking(d):
    """The rows of LACKS that hold for an object."""
    return [row for row in LACKS if row[0] == d["kind"] and row[3](d)]


def older(d):
    """A copy of it that 1.20 takes."""
    new = copy.deepcopy(d)
    for row in lacking(d):
        row[4](new)
    return new


def smaller(d, share):
    """Requests of processor time by this share: the node has the machine's cores, and a request is a weight there as well."""
    for c in pod_containers(d):
        cpu = c.get("resources", {}).get("requests", {})
        if "cpu" in cpu:
            text = str(cpu["cpu"])
            milli = float(text[:-1]) if text.endswith("m") else float(text) * 1000
            cpu["cpu"] = f"{max(1, round(milli * share))}m"


def pod_containers(d):
    spec = d.get("spec", {}).get("template", {}).get("spec", {})
    return spec.get("initContainers", []) + spec.get("containers", [])
