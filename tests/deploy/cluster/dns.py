"""The cluster's DNS out of its API's services and endpoints, where no CoreDNS is to be had: dns.py SERVER TOKEN, on port 53."""
import json
import socket
import socketserver
import ssl
import struct
import sys
import time
import urllib.error
import urllib.request

SERVER, TOKEN = sys.argv[1:3]
TLS = ssl._create_unverified_context()  # the API's certificate is of its own making, on loopback
FRESH_S = 0.5
cache = {}


def get(path):
    if path not in cache or time.monotonic() - cache[path][0] > FRESH_S:
        request = urllib.request.Request(SERVER + path, headers={"Authorization": "Bearer " + TOKEN})
        try:
            with urllib.request.urlopen(request, context=TLS, timeout=2) as answer:
                cache[path] = (time.monotonic(), json.load(answer))
        except urllib.error.HTTPError:
            cache[path] = (time.monotonic(), None)
    return cache[path][1]


def resolve(name):
    """Addresses of SERVICE.NS.svc.cluster.local or POD.SERVICE.NS.svc.cluster.local; None: there is no such name."""
    parts = name.split(".")
    if parts[-3:] != ["svc", "cluster", "local"] or len(parts) not in (5, 6):
        return None
    host, name, namespace = parts[0] if len(parts) == 6 else None, parts[-5], parts[-4]
    service = get(f"/api/v1/namespaces/{namespace}/services/{name}")
    if not service:
        return None
    if service["spec"].get("clusterIP") != "None":
        return [service["spec"]["clusterIP"]]
    found = []
    for subset in (get(f"/api/v1/namespaces/{namespace}/endpoints/{name}") or {}).get("subsets", []):
        unready = subset.get("notReadyAddresses", []) if service["spec"].get("publishNotReadyAddresses") else []
        found += [a["ip"] for a in subset.get("addresses", []) + unready if host is None or a.get("hostname") == host]
    return found or None


class Question(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += data[at] + 1
        question, kind = data[12:at + 5], struct.unpack(">H", data[at + 1:at + 3])[0]
        ips = resolve(".".join(labels))
        records = [b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 1, 4) + socket.inet_aton(ip) for ip in ips or []] if kind == 1 else []
        header = data[:2] + struct.pack(">HHHHH", 0x8580 | (3 if ips is None else 0), 1, len(records), 0, 0)
        sock.sendto(header + question + b"".join(records), self.client_address)


socketserver.ThreadingUDPServer.allow_reuse_address = True
socketserver.ThreadingUDPServer(("0.0.0.0", 53), Question).serve_forever()
