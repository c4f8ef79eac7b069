"""Clients without manners, for tests/bench/flood: HTTP/2 by hand, each in a process of its own.

usage: flood_clients.py KIND ADDRESS SECONDS [RUN]      kinds: status, leases, halves, resets, readers, connections, hellos, strangers,
                                                               none, busy
none: no client at all; busy: no client either, but a loop; ADDRESS is then the share of a core that it takes.
FLOOD_KEYS=DIR: TLS with the certificate in DIR; hellos and strangers show none.
"""
import os
import select
import socket
import ssl
import struct
import sys
import time

DATA, HEADERS, RST, SETTINGS, PING, WINDOW = 0, 1, 3, 4, 6, 8
END_STREAM, END_HEADERS = 1, 4
NO_ROOM = struct.pack(">HI", 4, 0)  # a setting: windows of streams begin with 0 bytes
LEASE, STATUS = "/rlhfd.v1.Prompts/Lease", "/rlhfd.admin.v1.Admin/GetStatus"
HEALTH = "/grpc.health.v1.Health/Check"
KEYS = os.environ.get("FLOOD_KEYS")
HELD = 2500  # connections of one client at a time


def context(keys):
    """No server is asked who it is: a flood is meant for it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(["h2"])
    if keys:
        made.load_cert_chain(os.path.join(keys, "tls.crt"), os.path.join(keys, "tls.key"))
    return made


CONTEXT = context(KEYS) if KEYS else None


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def call(stream, path):
    rows = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"),
            ("content-type", "application/grpc"), ("te", "trailers")]
    block = b"".join(bytes([0, len(k)]) + k.encode() + bytes([len(v)]) + v.encode() for k, v in rows)
    return frame(HEADERS, END_HEADERS, stream, block)


def message(stream, body, end=False):
    return frame(DATA, END_STREAM if end else 0, stream, struct.pack(">BI", 0, len(body)) + body)


class Connection:
    """What the peer's frames say of windows and of streams that ended."""

    def __init__(self, address, settings=b""):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if CONTEXT:
            self.socket = CONTEXT.wrap_socket(self.socket)
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings) +
                            frame(WINDOW, 0, 0, struct.pack(">I", 1 << 30)))
        self.next, self.part, self.window, self.windows, self.most = 1, b"", 65535, {}, 64
        self.ended = 0

    def open(self, path):
        stream, self.next = self.next, self.next + 2
        self.windows[stream] = 65535
        return stream, call(stream, path)

    def take(self, kind, flags, stream, body):
        if kind == WINDOW and stream == 0:
            self.window += struct.unpack(">I", body)[0]
        elif kind == WINDOW and stream in self.windows:
            self.windows[stream] += struct.unpack(">I", body)[0]
        elif kind == SETTINGS and not flags & 1:
            for at in range(0, len(body), 6):
                key, value = struct.unpack(">HI", body[at:at + 6])
                self.most = value if key == 3 else self.most
            self.socket.sendall(frame(SETTINGS, 1, 0))
        elif kind == PING and not flags & 1:
            self.socket.sendall(frame(PING, 1, 0, body))
        elif (flags & END_STREAM and kind in (DATA, HEADERS)) or kind == RST:
            self.ended += self.windows.pop(stream, None) is not None

    def listen(self, wait_s):
        """False: the peer has closed."""
        decrypted = CONTEXT and self.socket.pending()
        if not decrypted and not select.select([self.socket], [], [], wait_s)[0]:
            return True
        got = self.socket.recv(1 << 18)
        if not got:
            return False
        data, at = self.part + got, 0
        while len(data) - at >= 9:
            size = struct.unpack(">I", b"\0" + data[at:at + 3])[0]
            if len(data) - at < 9 + size:
                break
            kind, flags, stream = data[at + 3], data[at + 4], struct.unpack(">I", data[at + 5:at + 9])[0]
            self.take(kind, flags, stream & 0x7FFFFFFF, data[at + 9:at + 9 + size])
            at += 9 + size
        self.part = data[at:]
        return True


def status(connection):
    """As many requests at once as the peer allows, again and again."""
    while connection.listen(1):
        out = b""
        while len(connection.windows) < connection.most:
            stream, head = connection.open(STATUS)
            out += head + message(stream, b"", end=True)
        connection.socket.sendall(out)
        yield


def leases(connection, run):
    """Streams that say who they are and ask for work, and streams that say nothing."""
    run = run.encode()
    while connection.listen(0.2):
        out = b""
        while len(connection.windows) < connection.most:
            stream, head = connection.open(LEASE)
            name = b"flood-%d-%d-%d" % (os.getpid(), id(connection) & 0xFFFF, stream)
            hello = b"\x0a" + bytes([len(run)]) + run + b"\x12" + bytes([len(name)]) + name + b"\x18\x01"
            out += head + (message(stream, hello) if stream & 2 else b"")
        connection.socket.sendall(out)
        yield


def halves(connection):
    """Messages of 64 MiB, of which 60 are sent."""
    left, block = {}, b"a" * 16384
    for _ in range(8):
        stream, head = connection.open(LEASE)
        connection.socket.sendall(head + frame(DATA, 0, stream, struct.pack(">BI", 0, 64 << 20)))
        left[stream] = 60 << 20
    sent = True
    while connection.listen(0 if sent else 0.05):
        sent = False
        for stream in list(left):
            n = min(connection.window, connection.windows.get(stream, 0), len(block), left[stream])
            if n > 0:
                connection.socket.sendall(frame(DATA, 0, stream, block[:n]))
                connection.window -= n
                connection.windows[stream] -= n
                left[stream] -= n
                sent = True
        yield


def resets(connection):
    """Streams that are reset as soon as they are open."""
    while connection.listen(0):
        out = b""
        for _ in range(200):
            stream, head = connection.open(LEASE)
            connection.windows.clear()
            out += head + frame(RST, 0, stream, struct.pack(">I", 8))
        connection.socket.sendall(out)
        yield


def readers(connection):
    """Requests whose answers are never read: this side has no room for one."""
    while connection.listen(0.5):
        out = b""
        while len(connection.windows) < connection.most:
            stream, head = connection.open(STATUS)
            out += head + message(stream, b"", end=True)
        connection.socket.sendall(out)
        yield


def many(kind, address, until, count, *rest):
    """So many connections in turn; those that are closed come again."""
    steps = [None] * count
    while time.monotonic() < until:
        for i in range(count):
            try:
                steps[i] = steps[i] or kind(Connection(address, NO_ROOM if kind is readers else b""), *rest)
                next(steps[i])
            except (OSError, StopIteration):
                steps[i] = None
                time.sleep(0.01)


def preface(turn):
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) if turn % 2 else b""


def hello(turn):
    """The first message of a handshake, whole or its first half."""
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context(None).wrap_bio(there, here).do_handshake()
    except ssl.SSLWantReadError:
        pass
    said = here.read()
    return said if turn % 2 else said[:len(said) // 2]


def hold(address, until, first):
    """HELD connections at a time, which say `first` and no more; those that are closed come again."""
    host, port = address.rsplit(":", 1)
    texts = [first(0), first(1)]
    held = []
    while time.monotonic() < until:
        while len(held) < HELD and time.monotonic() < until:
            try:
                s = socket.create_connection((host, int(port)), timeout=2)
                held.append(s)
                s.sendall(texts[len(held) % 2])
            except OSError:
                time.sleep(0.01)
        time.sleep(1)
        poll = select.poll()
        for s in held:
            poll.register(s, select.POLLIN)
        gone = {fd for fd, _ in poll.poll(0)}
        for s in held:
            if s.fileno() in gone:
                s.close()
        held = [s for s in held if s.fileno() >= 0]


def strangers(address, until):
    """Whole handshakes without a certificate, one after the other."""
    host, port = address.rsplit(":", 1)
    nobody = context(None)
    while time.monotonic() < until:
        try:
            with socket.create_connection((host, int(port)), timeout=2) as s, nobody.wrap_socket(s) as inside:
                inside.sendall(preface(1) + call(1, HEALTH))
                while inside.recv(4096):
                    pass
        except OSError:
            time.sleep(0.01)


def served(address, keys, until):
    """Seconds until a new client is answered; None: not until then."""
    global CONTEXT
    CONTEXT = context(keys) if keys else None
    begun = time.monotonic()
    while time.monotonic() < until:
        try:
            connection = Connection(address)
            stream, head = connection.open(HEALTH)
            connection.socket.sendall(head + message(stream, b"", end=True))
            give_up = time.monotonic() + 2
            while connection.windows and time.monotonic() < give_up and connection.listen(0.1):
                pass
            connection.socket.close()
            if not connection.windows:
                return time.monotonic() - begun
        except OSError:
            time.sleep(0.05)
    return None


def busy(share, until):
    while time.monotonic() < until:
        begun = time.process_time()
        slept = time.monotonic()
        while time.process_time() - begun < 0.01 * share:
            pass
        time.sleep(max(0, 0.01 - (time.monotonic() - slept)))


def main():
    kind, address, until = sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3])
    if kind == "busy":
        busy(float(address), until)
    elif kind == "none":
        time.sleep(float(sys.argv[3]))
    elif kind in ("connections", "hellos"):
        hold(address, until, preface if kind == "connections" else hello)
    elif kind == "strangers":
        strangers(address, until)
    else:
        run = sys.argv[4:] if kind == "leases" else []
        many({"status": status, "leases": leases, "halves": halves, "resets": resets, "readers": readers}[kind], address, until,
             {"status": 4, "resets": 1, "readers": 32}.get(kind, 2), *run)


if __name__ == "__main__":
    main()
