#!/usr/bin/env python3
"""A judge for tests: an OpenAI-compatible server whose liking is known, and which prefers what it sees first.

    judge_server.py --announce FILE [--bias NATS] [--key KEY]

POST /v1/chat/completions. The last message is JSON, which the scorer's template writes:
    {"first": TEXT, "second": TEXT}    log-probabilities of A and B: A has sigmoid(liking(first) - liking(second) + bias)
    {"completion": TEXT}               of 1, 2 and 3
    {"say": TEXT}                      the reply
    {"raw": TEXT}                      the whole body
liking is the number of letters a. GET /counts tells how many requests came; the last request's body stands at /last.
"""
import argparse
import json
import math
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock = threading.Lock()
state = {"requests": 0, "last": {}}


def logprobs(table):
    top = [{"token": token, "logprob": math.log(p), "bytes": list(token.encode())} for token, p in table]
    return {"content": [{**top[0], "top_logprobs": top}]}


def choice(question, bias):
    if "say" in question:
        return {"message": {"role": "assistant", "content": question["say"]}}
    if "first" in question:
        p = 1 / (1 + math.exp(-(question["first"].count("a") - question["second"].count("a") + bias)))
        table = [(" A", 0.7 * p), ("a", 0.1 * p), ("B", 0.8 * (1 - p)), ("The", 0.2)]
    else:
        n = min(question["completion"].count("a"), 2)
        table = [(str(1 + n), 0.6), (str(1 + (n + 1) % 3), 0.2), ("I", 0.2)]
    return {"message": {"role": "assistant", "content": table[0][0]}, "logprobs": logprobs(table)}


class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", 65536  # an answer is one packet

    def answer(self, status, body):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        with lock:
            self.answer(200, json.dumps({"requests": state["requests"]} if self.path == "/counts" else state["last"]))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            state["requests"] += 1
            state["last"] = request
        if options.key and self.headers.get("Authorization") != f"Bearer {options.key}":
            self.answer(401, "{}")
            return
        question = json.loads(request["messages"][-1]["content"])
        raw = question.get("raw")
        self.answer(200, raw if raw is not None else json.dumps({"choices": [{"index": 0, **choice(question, options.bias)}]}))

    def log_message(self, *arguments):
        pass


parser = argparse.ArgumentParser()
parser.add_argument("--announce", required=True)
parser.add_argument("--bias", type=float, default=0)
parser.add_argument("--key")
options = parser.parse_args()
ThreadingHTTPServer.request_queue_size = 64
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(options.announce + ".tmp", "w", encoding="utf-8") as file:
    file.write(str(server.server_port))
os.rename(options.announce + ".tmp", options.announce)
server.serve_forever()
