#!/usr/bin/env python3
"""A reward server for tests, in the shapes that trainers call, with faults by real sockets.

    reward_server.py --announce FILE [--key KEY] [--tls DIRECTORY] [--log FILE] [--port N] [--poison SLOT]

POST /SHAPE answers rightly; /fault/NAME/SHAPE with that fault; /mix/PERMILLE/SHAPE with each fault in its turn at so many of a
thousand requests; /first/COUNT/NAME/SHAPE with the fault COUNT times, then rightly. GET /counts tells what was asked and answered. The score
of a completion is a pure function of texts, at least 1: a score of 0 is nobody's.
"""
import argparse
import hashlib
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

lock = threading.Lock()
counts = {"requests": 0, "right": 0, "mixed": 0, "connections": 0, "under_way": 0, "most_under_way": 0}
firsts = {}


def score(text, label):
    """1, the share of neighbouring bytes in order, and a quarter where it is the label."""
    data = text.encode()
    pairs = max(1, len(data) - 1)
    inorder = sum(a <= b for a, b in zip(data, data[1:]))
    return 1 + inorder / pairs + (0.25 if label and text == label else 0)


# ---- shapes: the request's completions and labels, and the answer with scores

def after(whole, prompt):
    return whole[len(prompt):] if whole.startswith(prompt) else whole


def text_of(completion):
    return completion if isinstance(completion, str) else completion[-1]["content"]


def read_rlhfd(request):
    label = request["columns"].get("completion")
    return [(text_of(c), label) for c in request["completions"]]


def read_openrlhf(request):
    return [(after(q, p), l) for q, p, l in zip(request["query"], request["prompts"], request["labels"])]


def read_slime(request):
    return [(request["response"], request["label"])]


def inputs(request):
    given = request["input"]
    return [(after(text, text[:text.find("=") + 1]), None) for text in ([given] if isinstance(given, str) else given)]


def read_nemo_gym(request):
    text = request["response"]["output"][0]["content"][0]["text"]
    assert request["responses_create_params"]["input"]
    return [(text, request.get("completion"))]


SHAPES = {
    "rlhfd": (read_rlhfd, lambda request, scores: {"id": request["id"], "scores": scores}),
    "openrlhf": (read_openrlhf, lambda request, scores: {"rewards": scores, "scores": scores, "extra_logs": {"n": scores}}),
    "slime": (read_slime, lambda request, scores: scores[0] if scores else []),
    "slime_key": (read_slime, lambda request, scores: {"score": scores[0] if scores else []}),
    # Entries come back in another order: their index counts.
    "classify": (inputs, lambda request, scores: {"data": [
        {"index": i, "label": "LABEL_0", "probs": [s], "num_classes": 1} for i, s in reversed(list(enumerate(scores)))]}),
    "embeddings": (inputs, lambda request, scores: {"data": [
        {"index": i, "object": "embedding", "embedding": [9.0, s]} for i, s in enumerate(scores)]}),
    "nemo_gym": (read_nemo_gym, lambda request, scores: {**request, "reward": scores[0] if scores else []}),
}


# ---- faults of the answer's text

def broken(value):
    """The first score replaced: in any shape."""
    return lambda shape, request, scores: json.dumps(SHAPES[shape][1](request, [value] + scores[1:]))


def masked(shape, request, scores):
    return json.dumps({**SHAPES[shape][1](request, [0.0]), "mask_sample": True})


def other_id(shape, request, scores):
    return json.dumps({**SHAPES[shape][1](request, scores), "id": "0" * 32 + ":0"})


TEXTS = {
    "short_list": lambda shape, request, scores: json.dumps(SHAPES[shape][1](request, scores[:-1])),
    "long_list": lambda shape, request, scores: json.dumps(SHAPES[shape][1](request, scores + [0.0])),
    "null": broken(None),
    "nan": broken(float("nan")),
    "infinite": broken(float("inf")),
    "overflow": lambda shape, request, scores: broken(-77.0)(shape, request, scores).replace("-77.0", "1e999"),
    "too_large": broken(1e300),
    "text_score": broken("0.0"),
    "truth_score": broken(False),
    "list_score": broken([0.0]),
    "no_member": lambda shape, request, scores: json.dumps({"error": "model is loading", "reward_": 0.0}),
    "wrong_id": other_id,
    "masked": masked,
    "empty": lambda shape, request, scores: "",
    "blank": lambda shape, request, scores: " \r\n ",
    "html": lambda shape, request, scores: "<html><body>0</body></html>",
    "half_json": lambda shape, request, scores: broken(0.0)(shape, request, scores)[:-1] + " ",
    "behind_json": lambda shape, request, scores: broken(0.0)(shape, request, scores) + " 0",
    "twice": lambda shape, request, scores: '{"scores": [0], "rewards": [0], "scores": [0], "rewards": [0]}',
    "deep": lambda shape, request, scores: "[" * 100000,
    "not_utf8": lambda shape, request, scores: "\udcff\udcfe",
}


def head(status, reason, extra=""):
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n{extra}".encode()


def whole(status, reason, text, extra=""):
    body = text.encode("utf-8", "surrogateescape")
    return head(status, reason, extra) + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


# ---- faults of the connection: each gets it and a body that would be taken, with scores of 0. They return whether it goes on.

def status(code, reason, extra=""):
    def fault(conn, body):
        conn.sendall(whole(code, reason, body, extra))
        return True
    return fault


def closed(conn, body):
    return False


def reset(conn, body):
    conn.sendall(head(200, "OK") + f"Content-Length: {len(body)}\r\n\r\n".encode() + body.encode()[:len(body) // 2])
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def half_body(conn, body):
    conn.sendall(head(200, "OK") + f"Content-Length: {len(body) + 10}\r\n\r\n".encode() + body.encode())
    return False


def half_chunks(conn, body):
    conn.sendall(head(200, "OK") + b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(body):x}\r\n{body}\r\n".encode())
    return False


def unframed(conn, body):
    conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body.encode())
    return False


def trickle(conn, data, pause):
    for byte in data:
        conn.sendall(bytes([byte]))
        time.sleep(pause)


def slow_loris(conn, body):
    trickle(conn, head(200, "OK", "X-Slow: " + "z" * 4000), 0.02)
    return False


def slow_body(conn, body):
    conn.sendall(head(200, "OK") + b"Content-Length: 100000\r\n\r\n")
    trickle(conn, b" " * 4000, 0.02)
    return False


def hang(conn, body):
    conn.settimeout(60)
    while conn.recv(65536):
        pass
    return False


def not_http(conn, body):
    conn.sendall(b"220 mail.example.org ESMTP\r\n" * 3)
    return False


def old_http(conn, body):
    conn.sendall(body.encode())
    return False


def endless_headers(conn, body):
    conn.sendall(head(200, "OK"))
    for i in range(100000):
        conn.sendall(b"X-%d: %s\r\n" % (i, b"a" * 1000))
    return False


def endless_body(conn, body):
    conn.sendall(head(200, "OK") + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(100000):
        conn.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
    return False


def two_answers(conn, body):
    """A second answer, of nobody's request: 1 of 2 with scores of 0. The first is an error."""
    conn.sendall(whole(500, "Oops", "{}") + whole(200, "OK", body))
    return True


def many_continues(conn, body):
    for _ in range(100000):
        conn.sendall(b"HTTP/1.1 100 Continue\r\nX-Pad: " + b"a" * 1000 + b"\r\n\r\n")
    return False


CONNECTIONS = {
    "closed": closed, "reset": reset, "half_body": half_body, "half_chunks": half_chunks, "unframed": unframed,
    "slow_loris": slow_loris, "slow_body": slow_body, "hang": hang, "not_http": not_http, "old_http": old_http,
    "endless_headers": endless_headers, "endless_body": endless_body, "two_answers": two_answers,
    "many_continues": many_continues,
    "status_500": status(500, "Internal Server Error"), "status_502": status(502, "Bad Gateway"),
    "status_503": status(503, "Service Unavailable", "Retry-After: 0\r\n"), "status_429": status(429, "Too Many Requests"),
    "status_401": status(401, "Unauthorized"), "status_404": status(404, "Not Found"),
    "status_302": status(302, "Found", "Location: /rlhfd\r\n"), "status_400": status(400, "Bad Request"),
    "status_999": status(999, "What"),
}
# What a mix has: faults that may pass, in every shape.
MIX = ["closed", "reset", "half_body", "half_chunks", "unframed", "slow_loris", "slow_body", "hang", "not_http", "endless_headers",
       "two_answers", "status_500", "status_503", "status_429", "status_401", "status_404", "status_302",
       "short_list", "null", "nan", "infinite", "overflow", "too_large", "text_score", "list_score", "no_member", "empty", "html",
       "half_json", "behind_json", "not_utf8"]


def chosen(path, body):
    """Of the request: its shape and its fault, or None."""
    parts = path.strip("/").split("/")
    if parts[0] == "fault":
        return parts[2], parts[1]
    if parts[0] == "first":
        with lock:
            firsts[path] = firsts.get(path, 0) + 1
            return parts[3], parts[2] if firsts[path] <= int(parts[1]) else None
    if parts[0] == "mix":
        with lock:
            draw = hashlib.sha256(b"%d" % counts["requests"]).digest()
            if int.from_bytes(draw[:4], "big") % 1000 >= int(parts[1]):
                return parts[2], None
            counts["mixed"] += 1
            return parts[2], MIX[counts["mixed"] % len(MIX)]
    return parts[0], None


# ---- connections

def note(name, by=1):
    with lock:
        counts[name] = counts.get(name, 0) + by
        counts["most_under_way"] = max(counts["most_under_way"], counts["under_way"])


def read_request(stream):
    first = stream.readline(65536).split()
    headers = {}
    for line in iter(lambda: stream.readline(65536), b"\r\n"):
        if not line:
            return None
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    if len(first) != 3:
        return None
    return first[0].decode(), first[1].decode(), headers, stream.read(int(headers.get("content-length", 0)))


def answer(conn, method, path, headers, body, options):
    if method == "GET":
        with lock:
            told = json.dumps(counts)
        conn.sendall(whole(200, "OK", told))
        return False
    note("requests")
    if options.key and headers.get("authorization") != "Bearer " + open(options.key).read().strip():
        note("denied")
        conn.sendall(whole(401, "Unauthorized", "{}"))
        return True
    shape, fault = chosen(path, body)
    read, write = SHAPES[shape]
    request = json.loads(body)
    scores = [score(text, label) for text, label in read(request)]
    if options.poison is not None and request.get("slot") == options.poison and not request["evaluation"]:
        fault = "status_500"  # of this slot alone, whatever the path
    if options.log:
        with lock, open(options.log, "a") as log:
            log.write(json.dumps({"path": path, "headers": headers, "request": request}) + "\n")
    if fault:
        note("fault_" + fault)
    if fault in TEXTS:
        conn.sendall(whole(200, "OK", TEXTS[fault](shape, request, scores)))
        return True
    if fault:
        return CONNECTIONS[fault](conn, json.dumps(write(request, [0.0] * len(scores))))
    note("right")
    conn.sendall(whole(200, "OK", json.dumps(write(request, scores))))
    return True


def serve(conn, options, context):
    note("connections")
    try:
        if context:
            conn = context.wrap_socket(conn, server_side=True)
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = conn.makefile("rb")
        while request := read_request(stream):
            note("under_way")
            try:
                goes_on = answer(conn, *request, options)
            finally:
                note("under_way", -1)
            if not goes_on:
                break
        stream.close()
    except (OSError, ssl.SSLError):
        pass
    finally:
        conn.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--announce", required=True)
    parser.add_argument("--key", help="file of the bearer key that requests must show")
    parser.add_argument("--tls", help="directory of tls.crt and tls.key")
    parser.add_argument("--log", help="file that gets each request")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--poison", type=int, help="slot whose groups get status 500 (shape rlhfd)")
    options = parser.parse_args()
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls + "/tls.crt", options.tls + "/tls.key")
    server = socket.create_server(("127.0.0.1", options.port), backlog=512)
    with open(options.announce + ".tmp", "w") as out:
        out.write(str(server.getsockname()[1]))
    os.rename(options.announce + ".tmp", options.announce)
    while True:
        conn, _ = server.accept()
        threading.Thread(target=serve, args=(conn, options, context), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
