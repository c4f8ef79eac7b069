#!/usr/bin/env python3
# needs: torch==2.15.0 transformers==5.23.0
"""Writes sampling.json: next-token distributions by transformers' logits processors.

Each case: logits, the tokens so far, settings, the log-probability of every token that is kept in
generate's order (null: removed), and the token that greedy search would take.
"""
import json
import os
import random

import torch
from transformers.generation import logits_process as lp

HERE = os.path.dirname(os.path.abspath(__file__))
V = 40
SETTINGS = [
    dict(temperature=1.0),
    dict(temperature=0.7),
    dict(temperature=1.0, top_k=5),
    dict(temperature=1.0, top_p=0.8),
    dict(temperature=1.0, min_p=0.1),
    dict(temperature=1.0, repetition_penalty=1.3),
    dict(temperature=1.0, repetition_penalty=0.6),
    dict(temperature=0.8, top_k=12, top_p=0.9),
    dict(temperature=1.3, top_p=0.95, min_p=0.05),
    dict(temperature=1.5, top_k=20, top_p=0.9, min_p=0.1),
    dict(temperature=0.9, top_k=15, top_p=0.85, min_p=0.02, repetition_penalty=1.8),
    dict(temperature=2.0, top_p=0.5, repetition_penalty=1.1),
    dict(temperature=1.0, min_p=0.3, repetition_penalty=5.0),
]


def processors(s):
    if s.get("repetition_penalty", 1.0) != 1.0:
        yield lp.RepetitionPenaltyLogitsProcessor(penalty=s["repetition_penalty"])
    yield lp.TemperatureLogitsWarper(s["temperature"])
    if s.get("top_k"):
        yield lp.TopKLogitsWarper(top_k=s["top_k"])
    if s.get("top_p", 1.0) < 1.0:
        yield lp.TopPLogitsWarper(top_p=s["top_p"])
    if s.get("min_p"):
        yield lp.MinPLogitsWarper(min_p=s["min_p"])


def case(draw, s):
    logits = []
    while len(logits) < V:  # no two alike: ties are ranked otherwise
        x = round(draw.gauss(0, 2.5), 4)
        logits += [] if x in logits else [x]
    tokens = [draw.randrange(V) for _ in range(draw.randrange(1, 30))]
    ids = torch.tensor([tokens])
    scores = torch.tensor([logits], dtype=torch.float32)
    greedy = scores.clone()
    if s.get("repetition_penalty", 1.0) != 1.0:
        greedy = lp.RepetitionPenaltyLogitsProcessor(penalty=s["repetition_penalty"])(ids, greedy)
    for processor in processors(s):
        scores = processor(ids, scores)
    logp = torch.log_softmax(scores[0].double(), -1).tolist()
    return {"settings": s, "tokens": tokens, "logits": logits, "greedy": int(greedy.argmax()),
            "logp": [None if x == float("-inf") else x for x in logp]}


def main():
    draw = random.Random(7)
    cases = [case(draw, s) for s in SETTINGS for _ in range(4)]
    with open(os.path.join(HERE, "sampling.json"), "w", encoding="ascii") as out:
        out.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
