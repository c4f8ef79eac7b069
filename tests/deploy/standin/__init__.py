"""A stand-in for a small Kubernetes on podman: it runs what `kubectl kustomize` renders, unedited, in the network namespace of its caller.

    cluster = Cluster("/tmp/drill/state")
    cluster.apply(open("deploy/k8s/rendered/minimal.yaml").read())
    cluster.until(lambda: cluster.ready("learner"), 60, "the learner is ready")
    cluster.evict("learner-0")                  # PermissionError while a budget forbids it
    cluster.close()

Images, processes, signals, limits, mounts and packets are the real ones. Stand-ins are the kubelet (pod.py, container.py, probe.py,
volumes.py), the controllers (controllers.py, budget.py), kube-proxy, DNS and network policies (network.py). A field or kind that none of
these knows is an error. Times are those of the manifests; nothing is scaled.
"""
from .cluster import Cluster

__all__ = ["Cluster"]
