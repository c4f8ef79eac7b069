#!/usr/bin/env python3
"""Writes weights_digest.json: digests of bf16 arrays, by the definition in common/tensor/digest.h."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = (1 << 64) - 1


def element(i, value):
    x = (((i << 16 | value) + 0x9E3779B97F4A7C15) & MASK) * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 32
    high, low = x * 0x94D049BB133111EB & MASK, x * 0xD6E8FEB86659FD93 & MASK
    return (high ^ high >> 29) << 64 | (low ^ low >> 32)


def digest(first, values):
    return "%032x" % (sum(element(first + i, v) for i, v in enumerate(values)) % (1 << 128))


def case(first, values):
    return {"first": first, "values": values, "digest": digest(first, values)}


with open(os.path.join(HERE, "weights_digest.json"), "w") as out:
    json.dump([case(0, []), case(0, [0]), case(0, [0x3F80]), case(1, [0x3F80]), case((1 << 48) - 1, [0xFFFF]),
               case(0, [(i * 40503 + 7) & 0xFFFF for i in range(100)]), case(1 << 20, [0x8000, 0x7F80, 1])], out)
    out.write("\n")
