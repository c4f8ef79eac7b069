"""The objects that were applied: by kind and name, as the API server keeps them."""
import base64

import yaml

from .tools import Refused, known

WORKLOADS = ("Deployment", "StatefulSet", "Job", "Pod")
ACTED_ON = WORKLOADS + ("Service", "ConfigMap", "Secret", "PersistentVolumeClaim", "PodDisruptionBudget", "NetworkPolicy", "Namespace")
# Kept, and without effect here.
KEPT = ("ServiceAccount", "PriorityClass", "HorizontalPodAutoscaler", "StorageClass")


class Objects:
    def __init__(self):
        self.all, self.namespace = {}, "default"

    def apply(self, text):
        for new in yaml.safe_load_all(text):
            if not new:
                continue
            kind, name = new["kind"], new["metadata"]["name"]
            if kind not in ACTED_ON + KEPT:
                raise Refused(f"{kind} {name}: the stand-in knows no such kind")
            if kind in WORKLOADS:
                known(kind, new["spec"], f"{kind} {name}")
            self.namespace = new["metadata"].get("namespace", self.namespace)
            self.all[kind, name] = new

    def find(self, kind, name):
        return self.all.get((kind, name))

    def of(self, *kinds):
        return [(kind, name, d) for (kind, name), d in list(self.all.items()) if kind in kinds]

    def config_map(self, name, optional=False):
        found = self.find("ConfigMap", name)
        if not found and not optional:
            raise Refused(f'configmap "{name}" not found')
        return {key: text.encode() for key, text in (found or {}).get("data", {}).items()}

    def secret(self, name, optional=False):
        found = self.find("Secret", name)
        if not found and not optional:
            raise Refused(f'secret "{name}" not found')
        found = found or {}
        return {**{key: base64.b64decode(text) for key, text in found.get("data", {}).items()},
                **{key: text.encode() for key, text in found.get("stringData", {}).items()}}

    def restricted(self):
        """Whether the namespace enforces the Pod Security standard `restricted`."""
        return any(d["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") == "restricted" for _, _, d in self.of("Namespace"))
