"""Pods' network on this machine: a bridge, a namespace a pod, DNS, and iptables for ClusterIPs and network policies."""
import ipaddress
import socket
import socketserver
import struct
import subprocess
import threading

from .tools import Refused, run, selects

DNS_LABELS = {"k8s-app": "kube-dns"}  # of the DNS pods that clusters have in kube-system
TTL = 5  # seconds that an answer may be kept; CoreDNS' own


class Dns(socketserver.BaseRequestHandler):
    def handle(self):
        data, reply = self.request
        labels, i = [], 12
        while data[i]:
            labels.append(data[i + 1:i + 1 + data[i]].decode().lower())
            i += data[i] + 1
        question, kind = data[12:i + 5], struct.unpack(">H", data[i + 1:i + 3])[0]
        found = self.server.network.resolve(".".join(labels))
        answers = [b"\xc0\x0c\x00\x01\x00\x01" + struct.pack(">IH", TTL, 4) + socket.inet_aton(ip) for ip in found or []] if kind == 1 else []
        header = struct.pack(">HHHHH", 0x8580 | (3 if found is None else 0), 1, len(answers), 0, 0)
        reply.sendto(data[:2] + header + question + b"".join(answers), self.client_address)


class Network:
    def __init__(self, cluster, subnet="10.91.0.0/24", services="10.96.0."):
        self.cluster, self.net, self.lock = cluster, ipaddress.ip_network(subnet), threading.RLock()
        self.gateway, self.last, self.services = str(self.net[1]), 10, services
        self.cluster_ips, self.rules, self.broken = {}, None, set()
        run("ip", "link", "add", "pods0", "type", "bridge")
        run("ip", "addr", "add", f"{self.gateway}/{self.net.prefixlen}", "dev", "pods0")
        run("ip", "link", "set", "pods0", "up")
        for key in ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"):
            run("sysctl", "-qw", f"{key}=1")
        run("mkdir", "-p", "/run/netns")
        self.server = socketserver.ThreadingUDPServer((self.gateway, 53), Dns)
        self.server.network = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def resolv_conf(self):
        zone = f"{self.cluster.objects.namespace}.svc.cluster.local"
        return f"nameserver {self.gateway}\nsearch {zone} svc.cluster.local cluster.local\noptions ndots:5\n"

    def join(self, pod):
        """A new namespace with an address that no pod had before."""
        with self.lock:
            self.last += 1
            ip, number = str(self.net[self.last]), self.last
        run("ip", "netns", "add", pod.id)
        run("ip", "link", "add", f"pod{number}", "type", "veth", "peer", "name", "eth0", "netns", pod.id)
        run("ip", "link", "set", f"pod{number}", "master", "pods0", "up")
        for words in (("addr", "add", f"{ip}/{self.net.prefixlen}", "dev", "eth0"), ("link", "set", "lo", "up"), ("link", "set", "eth0", "up"),
                      ("route", "add", "default", "via", self.gateway)):
            run("ip", "-n", pod.id, *words)
        return ip

    def leave(self, pod):
        run("ip", "netns", "del", pod.id, check=False)

    # Which pods are behind a service.

    def endpoints(self, spec):
        every = spec.get("publishNotReadyAddresses", False)
        return [p for p in self.cluster.pods_now() if p.ip and selects({"matchLabels": spec["selector"]}, p.labels)
                and (p.ready or (every and p.phase in ("Pending", "Running", "Terminating")))]

    def resolve(self, name):
        """Addresses, or None for a name that is not there."""
        zone = f".{self.cluster.objects.namespace}.svc.cluster.local"
        if not name.endswith(zone):
            return None
        host, _, service = name[:-len(zone)].rpartition(".")
        found = self.cluster.objects.find("Service", service)
        if not found:
            return None
        if found["spec"].get("clusterIP") != "None":
            return [self.cluster_ip(service)] if not host else None
        return [p.ip for p in self.endpoints(found["spec"]) if not host or p.name == host] or None

    def cluster_ip(self, service):
        with self.lock:
            return self.cluster_ips.setdefault(service, f"{self.services}{10 + len(self.cluster_ips)}")

    # iptables, written anew when they change.

    def changed(self):
        with self.lock:
            text = self.nat() + self.filter()
            if text == self.rules:
                return
            subprocess.run(["iptables-restore", "--noflush"], input=text, text=True, check=True)
            for table, chain, own in (("nat", "PREROUTING", "SERVICES"), ("nat", "OUTPUT", "SERVICES"), ("filter", "FORWARD", "POLICIES"),
                                      ("filter", "INPUT", "POLICIES"), ("filter", "OUTPUT", "UNSERVED")):
                if subprocess.run(["iptables", "-t", table, "-C", chain, "-j", own], capture_output=True).returncode:
                    run("iptables", "-t", table, "-I", chain, "-j", own)
            self.rules = text

    def nat(self):
        """As kube-proxy: each new connection goes to one of the endpoints."""
        lines = ["*nat", ":SERVICES - [0:0]", "-F SERVICES"]
        for _, name, service in self.cluster.objects.of("Service"):
            spec = service["spec"]
            if spec.get("clusterIP") == "None":
                continue
            pods = self.endpoints(spec)
            for port in spec["ports"]:
                match = f"-A SERVICES -d {self.cluster_ip(name)}/32 -p tcp --dport {port['port']}"
                for i, pod in enumerate(pods):
                    chance = f" -m statistic --mode random --probability {1 / (len(pods) - i):.5f}" if i < len(pods) - 1 else ""
                    lines.append(f"{match}{chance} -j DNAT --to-destination {pod.ip}:{port_number(pod, port.get('targetPort', port['port']))}")
        return "\n".join(lines + ["COMMIT", ""])

    def filter(self):
        """Network policies, and a refusal where a service has nobody behind it."""
        lines = ["*filter", ":POLICIES - [0:0]", ":UNSERVED - [0:0]", "-F POLICIES", "-F UNSERVED"]
        for _, name, service in self.cluster.objects.of("Service"):
            if service["spec"].get("clusterIP") != "None" and not self.endpoints(service["spec"]):
                lines += [f"-A {chain} -d {self.cluster_ip(name)}/32 -p tcp -j REJECT" for chain in ("POLICIES", "UNSERVED")]
        lines += [f"-A POLICIES -s {a} -d {b} -j DROP" for a, b in sorted(self.broken)]
        lines.append("-A POLICIES -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
        for pod in self.cluster.pods_now():
            if not pod.ip:
                continue
            for way, key, mine, other in (("Egress", "to", "s", "d"), ("Ingress", "from", "d", "s")):
                policies = [d["spec"] for _, _, d in self.cluster.objects.of("NetworkPolicy")
                            if selects(d["spec"]["podSelector"], pod.labels) and way in d["spec"].get("policyTypes", ["Ingress"])]
                if not policies:
                    continue
                chain = f"{way[0]}-{pod.ip}"
                lines += [f":{chain} - [0:0]", f"-F {chain}"]
                for rule in (r for spec in policies for r in spec.get(way.lower(), [])):
                    lines += [f"-A {chain} {words} -j RETURN" for words in self.allowed(rule, key, other, pod)]
                lines += [f"-A {chain} -j DROP", f"-A POLICIES -{mine} {pod.ip}/32 -j {chain}"]
        return "\n".join(lines + ["COMMIT", ""])

    def allowed(self, rule, key, other, pod):
        """Matches of iptables for one rule of a policy."""
        peers = [None] if not rule.get(key) else [ip for peer in rule[key] for ip in self.peers(peer)]
        for ip in peers:
            where = f"-{other} {ip}" if ip else ""
            for port in rule.get("ports") or [None]:
                if not port:
                    yield where
                    continue
                protocol = port.get("protocol", "TCP").lower()
                numbers = [port["port"]] if isinstance(port["port"], int) else [port_number(pod, port["port"])]
                for number in numbers:
                    yield f"{where} -p {protocol} --dport {number}" + (f":{port['endPort']}" if "endPort" in port else "")

    def peers(self, peer):
        if "ipBlock" in peer:
            if peer["ipBlock"].get("except"):
                raise Refused("ipBlock.except is not known to the stand-in")
            return [peer["ipBlock"]["cidr"]]
        selector, namespace = peer.get("podSelector", {}), peer.get("namespaceSelector")
        own = {"kubernetes.io/metadata.name": self.cluster.objects.namespace}
        ips = []
        if namespace is None or selects(namespace, own):
            ips += [f"{p.ip}/32" for p in self.cluster.pods_now() if p.ip and selects(selector, p.labels)]
        if namespace is not None and selects(namespace, {"kubernetes.io/metadata.name": "kube-system"}) and selects(selector, DNS_LABELS):
            ips.append(f"{self.gateway}/32")
        return ips

    def cut(self, a, b, on=True):
        """No packet between two addresses, both ways; or again."""
        for pair in ((a, b), (b, a)):
            (self.broken.add if on else self.broken.discard)(pair)
        self.changed()


def port_number(pod, port):
    if isinstance(port, int):
        return port
    for container in pod.spec["containers"]:
        for p in container.get("ports", []):
            if p.get("name") == port:
                return p["containerPort"]
    raise Refused(f"{pod.name} has no port {port}")
