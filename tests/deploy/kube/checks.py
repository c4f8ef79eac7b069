"""Static checks of rendered manifests. Each takes a Stream and yields faults, one line each; CHECKS has them by name.

What a pod needs that its stream does not bring (a secret of the operator's) stands in its annotation rlhfd/needs.
"""
import os
import re

import yaml

import network_checks
from objects import K8S, Stream, called, containers_of, labels_of, quantity, selects, settings_of, workers_of

CLUSTER = Stream.read(os.path.join(K8S, "cluster", "priority.yaml"))
CLUSTER_SCOPED = {"Namespace"}  # the only kind that a run may own beyond its namespace
HOST_CAPABILITIES = {"IPC_LOCK"}  # what `rdma` may add on the node's network


# ---- references

def needed(pod):
    return set(pod["metadata"].get("annotations", {}).get("rlhfd/needs", "").split())


def brought(stream):
    """Kind/name of all that pods may name."""
    there = {called(o) for o in stream.objects} | {called(o) for o in CLUSTER.objects}
    there |= {"Secret/" + c["spec"]["secretName"] for c in stream.of("Certificate")}
    for workload in stream.of("StatefulSet"):
        for claim in workload["spec"].get("volumeClaimTemplates", []):
            there.add("PersistentVolumeClaim/%s-%s-0" % (claim["metadata"]["name"], workload["metadata"]["name"]))
    return there


def named_by_pod(pod):
    spec = pod["spec"]
    if "priorityClassName" in spec:
        yield "PriorityClass/" + spec["priorityClassName"]
    if "serviceAccountName" in spec:
        yield "ServiceAccount/" + spec["serviceAccountName"]
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap/" + volume["configMap"]["name"]
        if "secret" in volume:
            yield "Secret/" + volume["secret"]["secretName"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim/" + volume["persistentVolumeClaim"]["claimName"]
    for container in containers_of(pod):
        sources = [s for s in container.get("envFrom", [])] + [e.get("valueFrom", {}) for e in container.get("env", [])]
        for source in sources:
            for key, kind in (("secretRef", "Secret"), ("secretKeyRef", "Secret"), ("configMapRef", "ConfigMap"), ("configMapKeyRef", "ConfigMap")):
                if key in source:
                    yield "%s/%s" % (kind, source[key]["name"])


def named_by_others(stream):
    for o in stream.of("StatefulSet"):
        yield o, "Service/" + o["spec"]["serviceName"]
    for o in stream.of("Certificate"):
        yield o, "Issuer/" + o["spec"]["issuerRef"]["name"]
    for o in stream.of("Issuer"):
        if "ca" in o["spec"]:
            yield o, "Secret/" + o["spec"]["ca"]["secretName"]
    for o in stream.of("ScaledObject"):
        yield o, "%s/%s" % (o["spec"]["scaleTargetRef"].get("kind", "Deployment"), o["spec"]["scaleTargetRef"]["name"])
    for o in stream.of("PodMonitor"):
        for endpoint in o["spec"]["podMetricsEndpoints"]:
            tls = endpoint.get("tlsConfig", {})
            for secret in (tls.get("ca", {}).get("secret"), tls.get("cert", {}).get("secret"), tls.get("keySecret")):
                if secret:
                    yield o, "Secret/" + secret["name"]


def references(stream):
    there = brought(stream)
    for workload, pod in stream.pods():
        for name in named_by_pod(pod):
            if name not in there | needed(pod):
                yield "%s names %s, which is nowhere" % (called(workload), name)
        volumes = {v["name"] for v in pod["spec"].get("volumes", [])}
        volumes |= {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
        for container in containers_of(pod):
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield "%s mounts '%s', which is no volume of the pod" % (called(workload), mount["name"])
    for o, name in named_by_others(stream):
        if name not in there:
            yield "%s names %s, which is nowhere" % (called(o), name)
    yield from selected(stream)


def selected(stream):
    """What selects pods finds some, and a workload finds its own."""
    pods = [pod for _, pod in stream.pods()]
    for o in stream.of("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        selector = o["spec"].get("podSelector", o["spec"].get("selector"))
        if o["kind"] == "Service":
            selector = {"matchLabels": selector}
        if not any(selects(selector, labels_of(pod)) for pod in pods):
            yield "%s selects no pod" % called(o)
    for workload, pod in stream.pods():
        if "selector" in workload["spec"] and not selects(workload["spec"]["selector"], labels_of(pod)):
            yield "%s does not select its own pods" % called(workload)


# ---- pod security

def security(stream):
    """Kubernetes' standard `restricted`; on the node's network (`rdma`) all of it but that, in a namespace that says so."""
    namespace = next(iter(stream.of("Namespace")), {"metadata": {}})
    enforced = namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
    hosts = any(pod["spec"].get("hostNetwork") for _, pod in stream.pods())
    if stream.of("Namespace") and enforced != ("privileged" if hosts else "restricted"):
        yield "Namespace: pod-security.kubernetes.io/enforce is %s" % enforced
    for workload, pod in stream.pods():
        for fault in pod_security(pod["spec"]):
            yield "%s: %s" % (called(workload), fault)


def pod_security(spec):
    context, host = spec.get("securityContext", {}), spec.get("hostNetwork", False)
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "runAsNonRoot and runAsUser are not set"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "seccompProfile is not RuntimeDefault"
    if spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken is not false"
    if spec.get("enableServiceLinks") is not False:
        yield "enableServiceLinks is not false"
    if spec.get("hostPID") or spec.get("hostIPC"):
        yield "hostPID or hostIPC"
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}:
            yield "volume '%s' is of %s" % (volume["name"], ", ".join(kinds))
    for sysctl in context.get("sysctls", []):
        if sysctl["name"] != "net.ipv4.ip_local_port_range" or host:
            yield "sysctl %s" % sysctl["name"]
    for container in spec.get("initContainers", []) + spec["containers"]:
        for fault in container_security(container, host):
            yield "container '%s': %s" % (container["name"], fault)


def container_security(container, host):
    context = container.get("securityContext", {})
    capabilities = context.get("capabilities", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"
    if context.get("privileged"):
        yield "privileged"
    if capabilities.get("drop") != ["ALL"]:
        yield "capabilities.drop is not [ALL]"
    if set(capabilities.get("add", [])) - (HOST_CAPABILITIES if host else set()):
        yield "capabilities.add: %s" % capabilities["add"]
    if context.get("runAsNonRoot") is False or context.get("runAsUser") == 0:
        yield "runs as root"
    for port in container.get("ports", []):
        if "hostPort" in port and not host:
            yield "hostPort %d" % port["hostPort"]


# ---- programs of users

def programs(stream):
    """Where a recipe has programs: only the rewarder's pods run them, which have a bounded directory, room for what they may take, and no
    way out but to the learner and DNS."""
    for config in stream.of("ConfigMap"):
        recipe = yaml.safe_load(config["data"]["recipe.yaml"]) if "recipe.yaml" in config.get("data", {}) else {}
        scorers = [s for s in recipe.get("rewarder", {}).get("scorers", []) if s.get("kind") == "program"]
        if scorers:
            yield from with_programs(stream, scorers)


def with_programs(stream, scorers):
    memory = sum(s.get("processes", 1) * s.get("memory_mib", 2048) for s in scorers) << 20
    disk = sum(s.get("processes", 1) * s.get("disk_mib", 256) for s in scorers) << 20
    for workload, pod in stream.pods():
        if workload["metadata"]["name"] != "rewarder":
            continue
        container = next(c for c in containers_of(pod) if c["name"] == "rewarder")
        if len(containers_of(pod)) - len(pod["spec"].get("initContainers", [])) != 1:
            yield "another container beside programs"
        mounts = {m["mountPath"]: m["name"] for m in container.get("volumeMounts", [])}
        volume = next((v for v in pod["spec"].get("volumes", []) if v["name"] == mounts.get("/tmp")), {})
        if quantity(volume.get("emptyDir", {}).get("sizeLimit", "0")) < disk:
            yield "no /tmp with room for the programs' files"
        limits = container.get("resources", {}).get("limits", {})
        if quantity(limits.get("memory", "0")) <= memory:
            yield "a limit of memory that the programs alone reach"
        if quantity(limits.get("ephemeral-storage", "0")) < disk:
            yield "no limit of ephemeral storage that has room for the programs' files"
    if any(s.get("network") or s.get("sandbox") == "none" for s in scorers):
        yield "programs that may reach the network"
    for rule in next((p["spec"].get("egress", [{}]) for p in stream.of("NetworkPolicy") if p["metadata"]["name"] == "rewarder"), [{}]):
        to = [t.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name") for t in rule.get("to", [{}])]
        if to != ["learner"]:
            yield "the rewarder may reach more than the learner"


# ---- sizes

def resources(stream):
    """Each container says what it needs; what lies in memory counts in the limit; GPUs come whole, and one for a worker."""
    for workload, pod in stream.pods():
        kept = sum(quantity(v["emptyDir"].get("sizeLimit", "1Ti")) for v in pod["spec"].get("volumes", [])
                   if v.get("emptyDir", {}).get("medium") == "Memory")
        for volume in pod["spec"].get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield "%s: emptyDir '%s' has no sizeLimit" % (called(workload), volume["name"])
        for container in containers_of(pod):
            for fault in sizes(container, kept):
                yield "%s: container '%s': %s" % (called(workload), container["name"], fault)
        if any("nvidia.com/gpu" in c["resources"].get("limits", {}) for c in containers_of(pod)):
            for fault in gpus(workload, pod):
                yield "%s: %s" % (called(workload), fault)


def sizes(container, kept):
    wants, limits = (container.get("resources", {}).get(k, {}) for k in ("requests", "limits"))
    if "cpu" not in wants or "memory" not in wants or "memory" not in limits:
        yield "requests of cpu and memory and a limit of memory are wanted"
        return
    if quantity(wants["memory"]) > quantity(limits["memory"]):
        yield "requests more memory than its limit"
    mounts = [m["mountPath"] for m in container.get("volumeMounts", [])]
    if "/dev/shm" in mounts and quantity(limits["memory"]) <= kept:
        yield "its limit of memory has no room beside /dev/shm"
    env = {e["name"]: e.get("value") for e in container.get("env", [])}
    computes, has = env.get("RLHFD_BACKEND") == "cuda", limits.get("nvidia.com/gpu") == "1"
    if computes != has or ("CUDA_CACHE_DISABLE" in env) != has:
        yield "a container that computes by CUDA has one nvidia.com/gpu, and no other has"


def gpus(workload, pod):
    if pod["spec"].get("runtimeClassName") != "nvidia":
        yield "GPUs without runtimeClassName nvidia"
    if not any(t.get("key") == "nvidia.com/gpu" for t in pod["spec"].get("tolerations", [])):
        yield "GPUs without a toleration of nvidia.com/gpu"
    if workload["kind"] == "Deployment" and workload["spec"]["strategy"]["rollingUpdate"]["maxSurge"] != 0:
        yield "GPUs with maxSurge %s: none is spare" % workload["spec"]["strategy"]["rollingUpdate"]["maxSurge"]


# ---- life

def probes(stream):
    """Liveness never asks for readiness: a replay may outlast every budget."""
    for workload, pod in stream.pods():
        for container, _ in workers_of(pod):
            for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
                got = container.get(probe, {}).get("httpGet", {})
                port = got.get("port", "")
                if got.get("path") != path or not str(port).startswith("probes") or port not in [p["name"] for p in container["ports"]]:
                    yield "%s: %s of '%s' is not %s at its own port of probes" % (called(workload), probe, container["name"], path)
            start = container.get("startupProbe", {})
            if start.get("periodSeconds", 10) * start.get("failureThreshold", 3) < 600:
                yield "%s: startupProbe of '%s' gives less than 10 minutes" % (called(workload), container["name"])


def availability(stream):
    """Drains go on, and pods of a kind do not share a node where they need not."""
    for workload, pod in stream.pods():
        if not any(True for _ in workers_of(pod)):
            continue
        budgets = [b for b in stream.of("PodDisruptionBudget") if selects(b["spec"]["selector"], labels_of(pod))]
        if len(budgets) != 1:
            yield "%s has %d budgets" % (called(workload), len(budgets))
        for budget in budgets:
            if budget["spec"].get("maxUnavailable") in (None, 0, "0%") or budget["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
                yield "%s may block a drain: maxUnavailable above 0 and AlwaysAllow are wanted" % called(budget)
        spreads = pod["spec"].get("topologySpreadConstraints", [])
        if workload["kind"] == "Deployment" and not any(selects(s["labelSelector"], labels_of(pod)) for s in spreads):
            yield "%s does not spread over nodes" % called(workload)
        if "priorityClassName" not in pod["spec"]:
            yield "%s has no priorityClassName" % called(workload)
        if pod["spec"].get("terminationGracePeriodSeconds", 0) < (60 if workload["kind"] == "StatefulSet" else 15):
            yield "%s has too short a terminationGracePeriodSeconds" % called(workload)


# ---- one run in one namespace

def namespaces(stream):
    """Two runs in two namespaces do not meet: nothing of a run is cluster-scoped, and no text names another namespace."""
    names = stream.names("Namespace")
    for o in stream.objects:
        if o["kind"] in CLUSTER_SCOPED:
            continue
        if o["kind"].startswith("Cluster") or o["kind"] in ("PriorityClass", "PersistentVolume", "StorageClass", "RuntimeClass"):
            yield "%s is of the whole cluster" % called(o)
        elif o["metadata"].get("namespace") not in names:
            yield "%s is in the namespace %s" % (called(o), o["metadata"].get("namespace"))
    for o in stream.of("ScaledObject"):
        for trigger in o["spec"]["triggers"]:
            found = set(re.findall(r'namespace="([^"]*)"', trigger["metadata"]["query"]))
            if found != names:
                yield "%s asks for the namespace %s" % (called(o), ", ".join(sorted(found)) or "of nobody")


# ---- identities

def identities(stream):
    """With TLS every certificate has the recipe's run, a role and, for a daemon, the name that it starts with; without, the recipe says so."""
    run = stream.recipe().get("run", {}).get("name")
    for certificate in stream.of("Certificate"):
        if certificate["spec"].get("isCA"):
            continue
        uris, name = certificate["spec"].get("uris", []), certificate["metadata"]["name"]
        if uris != ["spiffe://rlhfd/run/%s/%s/%s" % (run, name, name)]:
            yield "%s has the URIs %s; the run is %s" % (called(certificate), uris, run)
    for workload, pod in stream.pods():
        volumes = {v["name"]: v for v in pod["spec"].get("volumes", [])}
        for container, daemon in workers_of(pod):
            mounts = {m["mountPath"]: volumes.get(m["name"], {}) for m in container.get("volumeMounts", [])}
            keys = settings_of(container).get("net.tls")
            if keys is None and stream.of("Certificate"):
                yield "%s: '%s' does not set net.tls" % (called(workload), container["name"])
            if keys is None:
                if not stream.recipe().get("net", {}).get("insecure"):
                    yield "%s: neither net.tls nor net.insecure" % called(workload)
            elif keys not in mounts:
                yield "%s: '%s' has no keys at %s" % (called(workload), container["name"], keys)
            else:
                yield from ("%s: '%s': %s" % (called(workload), container["name"], f) for f in key_faults(mounts[keys], container, daemon, run))


def key_faults(volume, container, daemon, run):
    if "secret" in volume:
        if volume["secret"]["secretName"] != daemon + "-tls":
            yield "keys of %s" % volume["secret"]["secretName"]
        return
    attributes = volume["csi"]["volumeAttributes"]
    name = settings_of(container)["generator.name"].replace("$(POD_NAME)", "${POD_NAME}")
    wanted = "spiffe://rlhfd/run/%s/generator/%s" % (run, name)
    if attributes.get("csi.cert-manager.io/uri-sans") != wanted:
        yield "the URI is %s, its name wants %s" % (attributes.get("csi.cert-manager.io/uri-sans"), wanted)


CHECKS = {"references": references, "security": security, "resources": resources, "programs": programs, "probes": probes, "availability": availability,
          "namespaces": namespaces, "identities": identities, "ports": network_checks.ports, "network": network_checks.network,
          "scrape": network_checks.scrape}


def faults(stream):
    for name, check in CHECKS.items():
        for fault in check(stream):
            yield "%s: %s" % (name, fault)
