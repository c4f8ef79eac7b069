#!/usr/bin/env python3
"""Writes store.json: the store's records, version 2 of each, packed by an independent hand."""
import json
import os
import struct


def digest(first):
    return bytes((first + i) % 256 for i in range(16))


def text(value):
    return struct.pack(">I", len(value)) + value


def summary():
    return digest(32) + struct.pack(">dQQQI", -0.25, 1000, 7, 9, 4)


def slot(state, reason, answered, generator):
    return (b"S\x02" + bytes([state, reason, answered]) + struct.pack(">III", 3, 2, 1) +
            struct.pack(">QQQQQ", 5, 6, 12345, 99, 6) + text(generator) + summary())


round_groups = b"".join(digest(16 * i) + digest(16 * i + 1) + struct.pack(">QQI", 100 + i, 40 + i, 1 + i)
                        for i in range(2))
records = {
    "schema": b"M\x02" + text(b"run") + digest(1) + struct.pack(">QQB", 1000, 7, 1),
    "counters": b"C\x02" + struct.pack(">I", 1) +
                struct.pack(">11Q", 1, 20, 3, 8, 9, 7, 8, 101, 102, 103, 104) +
                struct.pack(">2Q", 6, 4) + struct.pack(">2Q", 7, 5) +
                struct.pack(">10Q", *range(200, 210)) + struct.pack(">6Q", *range(300, 306)),
    "slot_leased": slot(2, 0, 0, b"g0"),
    "slot_stored": slot(3, 0, 1, b"g0"),
    "slot_gone": slot(4, 1, 1, b""),
    "gone": b"X\x02" + bytes([1, 1]) + struct.pack(">QQ", 8, 6) + summary() + text(b"g0"),
    "round": b"R\x02" + struct.pack(">II", 1, 2) + struct.pack(">QQQQ", 41, 82, 5, 1) +
             text(b"lr: 1") + text(b"cpu") + struct.pack(">I", 2) + round_groups,
    "update": b"U\x02" + struct.pack(">Q", 41) + digest(3) + b"\x01",
    "last": b"D\x02" + struct.pack(">Q", 84),
    "tries": b"T\x02" + struct.pack(">IIB", 4, 3, 1) + text(b"not finite"),
    "fork": b"F\x02" + struct.pack(">IQQ", 1, 41, 84),
    "key_slot": struct.pack(">Q", 258),
    "key_gone": struct.pack(">QI", 258, 3),
    "key_group": struct.pack(">QQ", 4, 258),
    "key_round": b"r" + struct.pack(">IQ", 1, 41),
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "store.json")
with open(path, "w") as out:
    json.dump({name: value.hex() for name, value in records.items()}, out, indent=1)
    out.write("\n")
