"""A probe of a container, once: True if it succeeds. As the kubelet's: plain HTTP, TCP, a command, or gRPC health without TLS."""
import http.client
import socket
import struct
import subprocess


def port_of(container, port):
    return port if isinstance(port, int) else next(p["containerPort"] for p in container["ports"] if p.get("name") == port)


def http_get(ip, port, path, timeout):
    """(status, body). No redirect is followed and no proxy asked."""
    connection = http.client.HTTPConnection(ip, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(65536)
    finally:
        connection.close()


def probe(spec, ip, container, name):
    timeout = spec.get("timeoutSeconds", 1)
    try:
        if "httpGet" in spec:
            get = spec["httpGet"]
            return 200 <= http_get(ip, port_of(container, get["port"]), get.get("path", "/"), timeout)[0] < 400
        if "tcpSocket" in spec:
            socket.create_connection((ip, port_of(container, spec["tcpSocket"]["port"])), timeout).close()
            return True
        if "exec" in spec:
            return subprocess.run(["podman", "exec", name, *spec["exec"]["command"]], capture_output=True, timeout=timeout).returncode == 0
        return grpc_health(ip, spec["grpc"]["port"], spec["grpc"].get("service", ""), timeout)
    except (OSError, http.client.HTTPException, subprocess.TimeoutExpired):
        return False


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(key, value):
    return b"\x00" + bytes([len(key)]) + key.encode() + bytes([len(value)]) + value.encode()


def grpc_health(ip, port, service, timeout):
    """grpc.health.v1.Health/Check in HTTP/2 frames by hand: True for SERVING (08 01)."""
    body = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    headers = b"".join(literal(*pair) for pair in [
        (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"), (":authority", ip),
        ("content-type", "application/grpc"), ("te", "trailers")])
    message = frame(0, 1, 1, b"\0" + struct.pack(">I", len(body)) + body)
    with socket.create_connection((ip, port), timeout) as s:
        s.settimeout(timeout)
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, headers) + message)
        data = b""
        while True:
            more = s.recv(65536)
            if not more:
                return False
            data += more
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                size = int.from_bytes(data[:3], "big")
                kind, flags, payload, data = data[3], data[4], data[9:9 + size], data[9 + size:]
                if kind == 0 and len(payload) >= 5:
                    return payload[5:] == b"\x08\x01"
                if kind == 1 and flags & 1 or kind == 7:
                    return False
                if kind == 4 and not flags & 1:
                    s.sendall(frame(4, 1, 0, b""))
