"""Kubernetes objects of a rendered stream, and what they say to one another: selectors, pods, ports, the recipe."""
import os
import re

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
K8S = os.path.join(ROOT, "deploy", "k8s")
RENDERED = os.path.join(K8S, "rendered")
DAEMONS = ("learner", "rewarder", "generator")
# As ARCHITECTURE.md has it: beside listen, unless the recipe names them.
BESIDE = {"admin": 10, "probes": 100, "metrics": 200}


class Stream:
    """All objects of one overlay."""

    def __init__(self, documents):
        self.objects = [d for d in documents if d]

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as text:
            return Stream(yaml.safe_load_all(text))

    def of(self, *kinds):
        return [o for o in self.objects if o["kind"] in kinds]

    def get(self, kind, name):
        return next((o for o in self.of(kind) if o["metadata"]["name"] == name), None)

    def names(self, kind):
        return {o["metadata"]["name"] for o in self.of(kind)}

    def pods(self):
        """(workload, pod template) of everything that makes pods."""
        found = [(o, o["spec"]["template"]) for o in self.of("StatefulSet", "Deployment", "Job")]
        return found + [(o, o) for o in self.of("Pod")]

    def recipe(self):
        for config in self.of("ConfigMap"):
            if "recipe.yaml" in config.get("data", {}):
                return yaml.safe_load(config["data"]["recipe.yaml"])
        return {}


def called(o):
    return "%s/%s" % (o["kind"], o["metadata"]["name"])


def labels_of(pod):
    return pod["metadata"].get("labels", {})


def selects(selector, labels):
    """A label selector; an empty one selects all, none selects nothing."""
    if selector is None:
        return False
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        has, value = rule["key"] in labels, labels.get(rule["key"])
        fits = {"In": lambda: value in rule["values"], "NotIn": lambda: value not in rule["values"],
                "Exists": lambda: has, "DoesNotExist": lambda: not has}[rule["operator"]]()
        if not fits:
            return False
    return True


def containers_of(pod):
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def workers_of(pod):
    """Containers that are daemons, with the daemon's word."""
    for container in pod["spec"]["containers"]:
        command = (container.get("command") or [""])[0]
        if command.startswith("rlhfd-"):
            yield container, command[len("rlhfd-"):]


def settings_of(container):
    """--set KEY=VALUE of its arguments."""
    arguments = container.get("args", [])
    pairs = (arguments[i + 1].split("=", 1) for i in range(len(arguments) - 1) if arguments[i] == "--set")
    return {pair[0]: pair[-1] for pair in pairs}


def addresses_of(container, daemon, recipe):
    """{"listen": (host, port), "admin": ...} as the daemon would have them."""
    settings, section = settings_of(container), recipe.get(daemon, {})

    def given(key):
        return settings.get("%s.%s" % (daemon, key), section.get(key, ""))

    def split(address):
        host, port = address.rsplit(":", 1)
        return host, int(port)
    listen = split(given("listen"))
    found = {"listen": listen}
    for key, beside in BESIDE.items():
        found[key] = split(given(key)) if given(key) else (listen[0], listen[1] + beside)
    return found


def port_names(pod):
    """{name: number} of all containers of a pod."""
    return {p["name"]: p["containerPort"] for c in containers_of(pod) for p in c.get("ports", [])}


def port_ranges(rule):
    """(protocol, first, last) of a policy's rule; None: all ports."""
    if "ports" not in rule:
        return None
    return [(p.get("protocol", "TCP"), p["port"], p.get("endPort", p["port"])) for p in rule["ports"]]


def admits(rules, port):
    return any(ranges is None or any(a <= port <= b and p == "TCP" for p, a, b in ranges) for ranges in map(port_ranges, rules))


def peers_named(rule, direction, labels, namespace=None):
    """Whether a rule's peers include pods of these labels: in the same namespace, or in one that is named."""
    for peer in rule.get(direction, []):
        if "ipBlock" in peer:
            continue
        elsewhere = peer.get("namespaceSelector")
        if namespace is None and elsewhere is None and selects(peer.get("podSelector", {}), labels):
            return True
        if namespace is not None and elsewhere is not None and selects(elsewhere, {"kubernetes.io/metadata.name": namespace}) \
                and selects(peer.get("podSelector", {}), labels):
            return True
    return False


def policies_for(stream, pod, kind):
    """NetworkPolicies of a direction that hold a pod."""
    return [p for p in stream.of("NetworkPolicy")
            if kind in p["spec"].get("policyTypes", ["Ingress"]) and selects(p["spec"]["podSelector"], labels_of(pod))]


def quantity(text):
    """Kubernetes' quantities as numbers."""
    match = re.fullmatch(r"([0-9.]+)(m|Ki|Mi|Gi|Ti|k|M|G|T)?", str(text))
    if not match:
        raise ValueError("'%s' is no quantity" % text)
    unit = {None: 1, "m": 1e-3, "Ki": 2 ** 10, "Mi": 2 ** 20, "Gi": 2 ** 30, "Ti": 2 ** 40, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    return float(match.group(1)) * unit[match.group(2)]
