#!/usr/bin/env python3
"""Mutations of the rendered overlays, each of which the check named beside it must find. What no mutation turns red proves nothing."""
import copy
import os
import sys

import checks
from objects import RENDERED, Stream


def pod(stream, daemon):
    return next(p for w, p in stream.pods() if w["metadata"]["name"] == daemon)


def spec(stream, daemon):
    return pod(stream, daemon)["spec"]


def container(stream, daemon, number=0):
    return spec(stream, daemon)["containers"][number]


def policy(stream, name):
    return stream.get("NetworkPolicy", name)["spec"]


def drop(stream, kind, name):
    stream.objects.remove(stream.get(kind, name))


def put(target, key, value):
    target[key] = value


def recipe(stream, old, new):
    config = next(c for c in stream.of("ConfigMap") if "recipe.yaml" in c["data"])
    assert old in config["data"]["recipe.yaml"], old
    config["data"]["recipe.yaml"] = config["data"]["recipe.yaml"].replace(old, new)


def argument(stream, daemon, old, new, number=0):
    arguments = container(stream, daemon, number)["args"]
    arguments[arguments.index(old)] = new


def volume(stream, daemon, name):
    return next(v for v in spec(stream, daemon)["volumes"] if v["name"] == name)


# overlay, check, what is wrong, mutation
MUTATIONS = (
    ("minimal", "references", "a ConfigMap that is not there", lambda s: put(volume(s, "learner", "recipe")["configMap"], "name", "recipe")),
    ("minimal", "references", "a claim that is not there", lambda s: drop(s, "PersistentVolumeClaim", "data")),
    ("minimal", "references", "an account that is not there", lambda s: drop(s, "ServiceAccount", "rewarder")),
    ("minimal", "references", "a priority that is not there", lambda s: put(spec(s, "learner"), "priorityClassName", "rlhfd")),
    ("minimal", "references", "a mount of nothing", lambda s: put(container(s, "learner")["volumeMounts"][0], "name", "recipes")),
    ("minimal", "references", "the StatefulSet's Service is not there", lambda s: drop(s, "Service", "learner-pods")),
    ("minimal", "references", "a Service of no pod", lambda s: put(s.get("Service", "rewarder")["spec"], "selector", {"app": "rewarder"})),
    ("minimal", "references", "a workload of other pods",
     lambda s: put(pod(s, "rewarder")["metadata"]["labels"], "app.kubernetes.io/name", "scorer")),
    ("full", "references", "a secret that is not there", lambda s: pod(s, "learner")["metadata"]["annotations"].pop("rlhfd/needs")),
    ("full", "references", "keys that no Certificate makes", lambda s: drop(s, "Certificate", "rewarder")),
    ("full", "references", "Prometheus' keys that no Certificate makes", lambda s: drop(s, "Certificate", "viewer")),
    ("full", "references", "an issuer that is not there", lambda s: drop(s, "Issuer", "rlhfd")),
    ("full", "references", "a target that is not there", lambda s: put(s.of("ScaledObject")[0]["spec"]["scaleTargetRef"], "name", "generators")),
    ("minimal", "ports", "another port in the recipe", lambda s: recipe(s, "0.0.0.0:7003", "0.0.0.0:7004")),
    ("minimal", "ports", "an admin port for everyone", lambda s: recipe(s, "127.0.0.1:7013", "0.0.0.0:7013")),
    ("minimal", "ports", "another port of a container", lambda s: put(container(s, "rewarder")["ports"][0], "containerPort", 7001)),
    ("minimal", "ports", "a port without a name for probes", lambda s: container(s, "learner")["ports"].pop(2)),
    ("minimal", "ports", "a Service that leads elsewhere", lambda s: put(s.get("Service", "learner")["spec"]["ports"][0], "targetPort", "admin")),
    ("minimal", "ports", "a Service of another port", lambda s: put(s.get("Service", "rewarder")["spec"]["ports"][0], "port", 7022)),
    ("minimal", "ports", "a learner that is called by another name", lambda s: recipe(s, 'learner: "learner:7003"', 'learner: "learners:7003"')),
    ("minimal", "ports", "workers on the headless Service", lambda s: recipe(s, '"learner:7003"', '"learner-pods:7003"')),
    ("minimal", "ports", "a learner that is reached when ready alone",
     lambda s: s.get("Service", "learner")["spec"].pop("publishNotReadyAddresses")),
    ("gpu", "ports", "two workers of one port",
     lambda s: argument(s, "generator", "generator.listen=0.0.0.0:7402", "generator.listen=0.0.0.0:7401", 2)),
    ("minimal", "network", "nothing denies", lambda s: drop(s, "NetworkPolicy", "default-deny")),
    ("minimal", "network", "the learner lets nobody in", lambda s: drop(s, "NetworkPolicy", "learner")),
    ("minimal", "network", "generators may not call the rewarder", lambda s: policy(s, "generator")["egress"].pop(1)),
    ("minimal", "network", "the rewarder lets the learner in alone",
     lambda s: put(policy(s, "rewarder")["ingress"][0]["from"][0]["podSelector"]["matchLabels"], "app.kubernetes.io/name", "learner")),
    ("minimal", "network", "a policy of another port", lambda s: put(policy(s, "learner")["ingress"][0]["ports"][0], "port", 7002)),
    ("minimal", "network", "no names for workers", lambda s: drop(s, "NetworkPolicy", "dns")),
    ("minimal", "network", "DNS pods with a label of ours",
     lambda s: put(policy(s, "dns")["egress"][0]["to"][0]["podSelector"], "matchLabels", {"app.kubernetes.io/part-of": "rlhfd"})),
    ("minimal", "network", "a port that nobody has", lambda s: policy(s, "learner")["ingress"][0]["ports"].append({"protocol": "TCP", "port": 7023})),
    ("minimal", "network", "a rule for everyone", lambda s: policy(s, "learner")["ingress"][0].pop("from")),
    ("gpu", "network", "NCCL's ports are not open", lambda s: put(policy(s, "nccl")["egress"][0]["ports"][0], "endPort", 44000)),
    ("gpu", "network", "NCCL's ports are any", lambda s: spec(s, "generator")["securityContext"].pop("sysctls")),
    ("gpu", "network", "NCCL on any interface",
     lambda s: put(container(s, "generator", 3), "env", [e for e in container(s, "generator", 3)["env"] if e["name"] != "NCCL_SOCKET_IFNAME"])),
    ("gpu", "network", "a worker that others may not call", lambda s: put(policy(s, "generator")["ingress"][0]["ports"][1], "endPort", 7406)),
    ("rdma", "network", "generators on nodes may not call the rewarder", lambda s: drop(s, "NetworkPolicy", "nodes")),
    ("minimal", "security", "a root", lambda s: spec(s, "learner")["securityContext"].pop("runAsNonRoot")),
    ("minimal", "security", "no seccomp", lambda s: spec(s, "generator")["securityContext"].pop("seccompProfile")),
    ("minimal", "security", "a token", lambda s: spec(s, "rewarder").pop("automountServiceAccountToken")),
    ("minimal", "security", "a writable root", lambda s: container(s, "learner")["securityContext"].pop("readOnlyRootFilesystem")),
    ("minimal", "security", "escalation", lambda s: container(s, "learner")["securityContext"].pop("allowPrivilegeEscalation")),
    ("minimal", "security", "capabilities kept", lambda s: container(s, "learner")["securityContext"].pop("capabilities")),
    ("minimal", "security", "capabilities of a check", lambda s: spec(s, "learner")["initContainers"][0]["securityContext"].pop("capabilities")),
    ("minimal", "security", "a capability more",
     lambda s: put(container(s, "generator")["securityContext"]["capabilities"], "add", ["NET_ADMIN"])),
    ("minimal", "security", "a node's directory", lambda s: spec(s, "learner")["volumes"].append({"name": "x", "hostPath": {"path": "/"}})),
    ("minimal", "security", "the node's network", lambda s: put(spec(s, "learner"), "hostNetwork", True)),
    ("minimal", "security", "a namespace that enforces less",
     lambda s: put(s.of("Namespace")[0]["metadata"]["labels"], "pod-security.kubernetes.io/enforce", "baseline")),
    ("gpu", "security", "another sysctl", lambda s: put(spec(s, "learner")["securityContext"]["sysctls"][0], "name", "kernel.msgmax")),
    ("rdma", "security", "a capability more on the node",
     lambda s: container(s, "learner")["securityContext"]["capabilities"]["add"].append("SYS_ADMIN")),
    ("rdma", "security", "sysctls of the node",
     lambda s: put(spec(s, "learner")["securityContext"], "sysctls", [{"name": "net.ipv4.ip_local_port_range", "value": "1 2"}])),
    ("programs", "programs", "files without a bound", lambda s: put(volume(s, "rewarder", "tmp"), "emptyDir", {})),
    ("programs", "programs", "no room for files", lambda s: put(volume(s, "rewarder", "tmp"), "emptyDir", {"sizeLimit": "1Mi"})),
    ("programs", "programs", "no room in memory", lambda s: put(container(s, "rewarder")["resources"]["limits"], "memory", "256Mi")),
    ("programs", "programs", "storage of the node", lambda s: container(s, "rewarder")["resources"]["limits"].pop("ephemeral-storage")),
    ("programs", "programs", "a way out", lambda s: policy(s, "rewarder")["egress"].append({})),
    ("programs", "programs", "a neighbour", lambda s: spec(s, "rewarder")["containers"].append(copy.deepcopy(container(s, "rewarder")))),
    ("programs", "programs", "no sandbox", lambda s: recipe(s, "sandbox: restricted", "sandbox: none")),
    ("programs", "references", "code that is not there", lambda s: put(volume(s, "rewarder", "programs")["configMap"], "name", "program")),
    ("minimal", "resources", "no limit of memory", lambda s: container(s, "learner")["resources"].pop("limits")),
    ("minimal", "resources", "more asked than allowed", lambda s: put(container(s, "learner")["resources"]["requests"], "memory", "1Gi")),
    ("gpu", "resources", "no room beside /dev/shm", lambda s: put(container(s, "learner")["resources"]["limits"], "memory", "2Gi")),
    ("gpu", "resources", "/dev/shm without a bound", lambda s: volume(s, "generator", "shm")["emptyDir"].pop("sizeLimit")),
    ("gpu", "resources", "a pod more at an update",
     lambda s: put(s.get("Deployment", "generator")["spec"]["strategy"]["rollingUpdate"], "maxSurge", 1)),
    ("gpu", "resources", "a worker without its GPU", lambda s: container(s, "generator", 4)["resources"]["limits"].pop("nvidia.com/gpu")),
    ("gpu", "resources", "a learner without its GPU", lambda s: container(s, "learner")["resources"]["limits"].pop("nvidia.com/gpu")),
    ("gpu", "resources", "a learner on the CPU beside its GPU",
     lambda s: container(s, "learner")["env"].remove({"name": "RLHFD_BACKEND", "value": "cuda"})),
    ("gpu", "resources", "two GPUs for a worker", lambda s: put(container(s, "generator", 4)["resources"]["limits"], "nvidia.com/gpu", "2")),
    ("gpu", "resources", "nodes that nobody tolerates", lambda s: spec(s, "generator").pop("tolerations")),
    ("gpu", "resources", "no runtime for GPUs", lambda s: spec(s, "learner").pop("runtimeClassName")),
    ("minimal", "probes", "a start that waits for readiness",
     lambda s: put(container(s, "learner")["startupProbe"]["httpGet"], "path", "/readyz")),
    ("minimal", "probes", "a life that hangs on readiness", lambda s: put(container(s, "learner")["livenessProbe"]["httpGet"], "path", "/readyz")),
    ("minimal", "probes", "probes at another port", lambda s: put(container(s, "rewarder")["readinessProbe"]["httpGet"], "port", "metrics")),
    ("minimal", "probes", "a start of a minute", lambda s: put(container(s, "learner")["startupProbe"], "failureThreshold", 12)),
    ("minimal", "probes", "no probe of life", lambda s: container(s, "generator").pop("livenessProbe")),
    ("gpu", "probes", "another worker's probes", lambda s: put(container(s, "generator", 2)["livenessProbe"]["httpGet"], "port", "probes-1")),
    ("minimal", "availability", "a drain that waits for ever", lambda s: put(s.get("PodDisruptionBudget", "learner")["spec"], "maxUnavailable", 0)),
    ("minimal", "availability", "a drain that waits for readiness",
     lambda s: s.get("PodDisruptionBudget", "generator")["spec"].pop("unhealthyPodEvictionPolicy")),
    ("minimal", "availability", "no budget", lambda s: drop(s, "PodDisruptionBudget", "rewarder")),
    ("minimal", "availability", "all on one node", lambda s: spec(s, "generator").pop("topologySpreadConstraints")),
    ("minimal", "availability", "no priority", lambda s: spec(s, "generator").pop("priorityClassName")),
    ("minimal", "availability", "no time for a checkpoint", lambda s: put(spec(s, "learner"), "terminationGracePeriodSeconds", 30)),
    ("minimal", "namespaces", "an object elsewhere", lambda s: put(s.get("Service", "learner")["metadata"], "namespace", "default")),
    ("minimal", "namespaces", "an object of the cluster", lambda s: put(s.get("Service", "learner"), "kind", "PriorityClass")),
    ("full", "namespaces", "generators by another run's figures",
     lambda s: put(s.of("ScaledObject")[0]["spec"]["triggers"][0]["metadata"], "query", 'sum(rlhfd_decode_busy_seconds_total{namespace="other"})')),
    ("minimal", "identities", "plaintext that nobody allowed", lambda s: recipe(s, "insecure: true, ", "")),
    ("tls", "identities", "another run in the recipe", lambda s: recipe(s, "name: sort", "name: tldr")),
    ("tls", "identities", "another role's keys", lambda s: put(volume(s, "rewarder", "tls")["secret"], "secretName", "learner-tls")),
    ("tls", "identities", "a daemon without keys", lambda s: argument(s, "learner", "net.tls=/etc/rlhfd-tls", "run.seed=1")),
    ("tls", "identities", "keys of one name for all generators",
     lambda s: put(volume(s, "generator", "tls")["csi"]["volumeAttributes"], "csi.cert-manager.io/uri-sans", "spiffe://rlhfd/run/sort/generator/g")),
    ("full", "identities", "a worker with another's keys",
     lambda s: put(next(m for m in container(s, "generator", 5)["volumeMounts"] if m["mountPath"] == "/etc/rlhfd-tls"), "name", "tls-4")),
    ("full", "scrape", "metrics in plaintext", lambda s: put(s.get("PodMonitor", "learner")["spec"]["podMetricsEndpoints"][0], "scheme", "http")),
    ("full", "scrape", "another host's certificate",
     lambda s: put(s.get("PodMonitor", "learner")["spec"]["podMetricsEndpoints"][0]["tlsConfig"], "serverName", "generator")),
    ("full", "scrape", "rewarders that nobody asks", lambda s: drop(s, "PodMonitor", "rewarder")),
    ("full", "scrape", "jobs of other names", lambda s: s.get("PodMonitor", "generator")["spec"].pop("jobLabel")),
    ("full", "scrape", "workers that may not be asked", lambda s: policy(s, "metrics")["ingress"][0]["ports"].pop()),
)


def main():
    streams = {name: Stream.read(os.path.join(RENDERED, name + ".yaml")) for name in {m[0] for m in MUTATIONS}}
    missed = []
    for overlay, check, what, mutate in MUTATIONS:
        stream = Stream(copy.deepcopy(streams[overlay].objects))
        mutate(stream)
        if not list(checks.CHECKS[check](stream)):
            missed.append("%s: %s: '%s' passes" % (overlay, check, what))
    missed += ["no mutation for the check '%s'" % name for name in checks.CHECKS if name not in {m[1] for m in MUTATIONS}]
    for line in missed:
        print(line)
    print("%d mutations, %d missed" % (len(MUTATIONS), len(missed)))
    sys.exit(bool(missed))


main()
