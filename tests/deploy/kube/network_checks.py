"""Checks of ports and of who may connect: the recipe, containers, Services and NetworkPolicies say the same."""
from objects import (addresses_of, admits, called, labels_of, peers_named, policies_for, port_names, port_ranges, selects, settings_of,
                     workers_of)

# Who calls whom: ARCHITECTURE.md, "The ring". The key of the recipe names the address that is called.
CALLS = (("generator", "learner", "generator.learner"), ("generator", "rewarder", "generator.rewarder"),
         ("rewarder", "learner", "rewarder.learner"))
PORT_NAMES = {"listen": "grpc", "admin": "admin", "probes": "probes", "metrics": "metrics"}
DNS = [("UDP", 53, 53), ("TCP", 53, 53)]


def workers(stream):
    for workload, pod in stream.pods():
        for container, daemon in workers_of(pod):
            yield workload, pod, container, daemon


def pods_of(stream, daemon):
    return [pod for _, pod, _, kind in workers(stream) if kind == daemon][:1]


def ports(stream):
    """Containers have the recipe's ports under their names; Services lead to those; callers call Services that there are."""
    recipe = stream.recipe()
    for workload, pod, container, daemon in workers(stream):
        addresses = addresses_of(container, daemon, recipe)
        suffix = container["name"][len(daemon):]
        wanted = {PORT_NAMES[key] + suffix: port for key, (_, port) in addresses.items()}
        got = {p["name"]: p["containerPort"] for p in container.get("ports", [])}
        if got != wanted:
            yield "%s: '%s' has the ports %s, the recipe %s" % (called(workload), container["name"], got, wanted)
        for key, (host, _) in addresses.items():
            if (host == "127.0.0.1") != (key == "admin"):
                yield "%s: '%s': %s is at %s" % (called(workload), container["name"], key, host)
        numbers = [p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", [])]
        if len(set(numbers)) != len(numbers):
            yield "%s: two containers have one port" % called(workload)
    for service in stream.of("Service"):
        for _, pod in stream.pods():
            if not selects({"matchLabels": service["spec"]["selector"]}, labels_of(pod)):
                continue
            for port in service["spec"]["ports"]:
                if port_names(pod).get(port["targetPort"]) != port["port"]:
                    yield "%s: port %s leads to '%s', which is %s" % (called(service), port["port"], port["targetPort"],
                                                                    port_names(pod).get(port["targetPort"]))
    for caller, callee, key in CALLS:
        yield from called_addresses(stream, caller, callee, key, recipe)


def called_addresses(stream, caller, callee, key, recipe):
    for _, _, container, daemon in workers(stream):
        if daemon != caller:
            continue
        address = settings_of(container).get(key, recipe.get(caller, {}).get(key.split(".")[1], ""))
        host, _, port = address.partition(":")
        service = stream.get("Service", host)
        if not service or int(port) not in [p["port"] for p in service["spec"]["ports"]]:
            yield "%s: '%s' is no Service's" % (key, address)
        elif callee == "learner" and not service["spec"].get("publishNotReadyAddresses"):
            yield "%s: a learner that is not ready is not reached without publishNotReadyAddresses" % called(service)
        elif service["spec"].get("clusterIP") == "None":
            yield "%s: a headless Service's address changes with the pod, and caches of names hold workers up" % key


# ---- policies

def allowed(stream, caller, callee, port):
    """Whether both sides' policies let the caller connect; pods on the node's network have none."""
    for direction, own, other, kind in (("from", callee, caller, "Ingress"), ("to", caller, callee, "Egress")):
        if own["spec"].get("hostNetwork"):
            continue
        rules = [r for p in policies_for(stream, own, kind) for r in p["spec"].get(kind.lower(), [])]
        if other["spec"].get("hostNetwork"):
            rules = [r for r in rules if any("ipBlock" in peer for peer in r.get(direction, []))]
        else:
            rules = [r for r in rules if peers_named(r, direction, labels_of(other))]
        if not admits(rules, port):
            return "%s of '%s'" % (kind.lower(), labels_of(own).get("app.kubernetes.io/name"))
    return None


def network(stream):
    """All is denied but what is named; what is named suffices, and nothing more is."""
    if not stream.of("NetworkPolicy"):
        return
    deny = [p for p in stream.of("NetworkPolicy")
            if p["spec"]["podSelector"] == {} and p["spec"].get("policyTypes") == ["Ingress", "Egress"]
            and "ingress" not in p["spec"] and "egress" not in p["spec"]]
    if len(deny) != 1:
        yield "no policy denies all"
    recipe = stream.recipe()
    for caller, callee, _ in CALLS + (("generator", "generator", ""),):
        for _, pod, container, daemon in workers(stream):
            if daemon != callee:
                continue
            port = addresses_of(container, daemon, recipe)["listen"][1]
            for other in pods_of(stream, caller):
                held = allowed(stream, other, pod, port)
                if held:
                    yield "%s may not call %s at %d: %s" % (caller, container["name"], port, held)
    yield from surplus(stream)
    yield from broadcast(stream)
    yield from names(stream)


def surplus(stream):
    """A rule opens ports that somebody listens at, of those it names."""
    everyone = [pod for _, pod in stream.pods()]
    for policy in stream.of("NetworkPolicy"):
        held = [pod for pod in everyone if selects(policy["spec"]["podSelector"], labels_of(pod))]
        for kind, direction in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(kind, []):
                if not rule.get(direction):
                    yield "%s: a rule of %s for everyone" % (called(policy), kind)
                listeners = held if kind == "ingress" else [p for p in everyone if peers_named(rule, "to", labels_of(p))]
                if any("ipBlock" in peer for peer in rule.get(direction, [])):
                    listeners = everyone
                for protocol, first, last in port_ranges(rule) or [("TCP", 0, 65535)]:
                    if (protocol, first, last) in DNS or first == 443 or (first, last) in nccl_ranges(stream):
                        continue
                    if not any(first <= number <= last for pod in listeners for number in port_names(pod).values()):
                        yield "%s: nobody listens at %s %d to %d" % (called(policy), protocol, first, last)


def nccl_ranges(stream):
    """Ranges that NCCL takes its ports from, by the pods' sysctls."""
    found = set()
    for _, pod in stream.pods():
        for sysctl in pod["spec"].get("securityContext", {}).get("sysctls", []):
            if sysctl["name"] == "net.ipv4.ip_local_port_range":
                found.add(tuple(int(n) for n in sysctl["value"].split()))
    return found


def broadcast(stream):
    """With NCCL learner and generators reach each other at every port that it may take."""
    users = [(pod, container) for _, pod, container, _ in workers(stream)
             if settings_of(container).get("publish.transport") in ("nccl", "auto") and not pod["spec"].get("hostNetwork")]
    if not users:
        return
    ranges = nccl_ranges(stream)
    if len(ranges) != 1:
        yield "NCCL takes its ports from the ranges %s; one is wanted" % sorted(ranges)
        return
    first, last = ranges.pop()
    for pod, container in users:
        if not pod["spec"].get("securityContext", {}).get("sysctls"):
            yield "'%s' takes any port for NCCL" % container["name"]
        if not any(e["name"] == "NCCL_SOCKET_IFNAME" for e in container.get("env", [])):
            yield "'%s' has no NCCL_SOCKET_IFNAME" % container["name"]
        for other, _ in users:
            for port in (first, last):
                held = allowed(stream, other, pod, port)
                if held:
                    yield "NCCL may not connect at %d: %s" % (port, held)


def names(stream):
    """Who calls by name may ask for it."""
    for _, pod, _, daemon in workers(stream):
        if daemon == "learner" or pod["spec"].get("hostNetwork"):
            continue
        rules = [r for p in policies_for(stream, pod, "Egress") for r in p["spec"].get("egress", [])]
        if not any(peers_named(r, "to", {"k8s-app": "kube-dns"}, "kube-system") and (port_ranges(r) or DNS) == DNS for r in rules):
            yield "%s may not ask for names" % daemon


# ---- Prometheus

def scrape(stream):
    """Each worker's metrics are asked for, by the right scheme, and may be read."""
    if not stream.of("PodMonitor"):
        return
    for _, pod, container, daemon in workers(stream):
        monitors = [m for m in stream.of("PodMonitor") if selects(m["spec"]["selector"], labels_of(pod))]
        if len(monitors) != 1 or monitors[0]["spec"].get("jobLabel") != "app.kubernetes.io/name":
            yield "%s has %d monitors; one with jobLabel app.kubernetes.io/name is wanted" % (container["name"], len(monitors))
            continue
        for endpoint in monitors[0]["spec"]["podMetricsEndpoints"]:
            secure = "net.tls" in settings_of(container)
            tls = endpoint.get("tlsConfig", {})
            if (endpoint["scheme"] == "https") != secure or (tls.get("serverName") == daemon) != secure:
                yield "%s: scheme %s, serverName %s" % (called(monitors[0]), endpoint["scheme"], tls.get("serverName"))
        port = addresses_of(container, daemon, stream.recipe())["metrics"][1]
        rules = [r for p in policies_for(stream, pod, "Ingress") for r in p["spec"].get("ingress", [])
                 if peers_named(r, "from", {}, "monitoring")]
        if not admits(rules, port):
            yield "Prometheus may not read %s at %d" % (container["name"], port)
