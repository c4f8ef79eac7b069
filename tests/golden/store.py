#!/usr/bin/env python3
"""Writes store.json, store_v4.json and store_v3.json: the store's records in formats 5, 4 and 3, packed by an independent hand."""
import json
import os
import struct


def digest(first):
    return bytes((first + i) % 256 for i in range(16))


def text(value):
    return struct.pack(">I", len(value)) + value


def summary():
    return digest(32) + struct.pack(">dQQQId", -0.25, 1000, 7, 9, 4, 0.75)


def slot(version, state, reason, answered, generator, uses, why=b""):
    return (b"S" + bytes([version]) + bytes([state, reason, answered]) + struct.pack(">III", 3, 2, 1) +
            struct.pack(">QQQQQ", 5, 6, 12345, 99, 6) + text(generator) + summary() +
            struct.pack(">IQ", uses, 8 if uses else 0) + (text(why) if version > 4 else b""))


def trainees(version):
    if version < 4:
        return digest(3) + b"\x01"
    return b"\x01\x02" + text(b"policy") + digest(3) + text(b"critic") + digest(4)


# Protobuf: {id: 35, unit: SEQUENCE, dtype: F64, completions: [0, 2], values}, as the only one of a list.
def columns():
    values = struct.pack("<dd", -0.5, 1.25)
    column = (b"\x08\x23\x10\x02\x18\x02" + b"\x22\x08" + struct.pack("<II", 0, 2) +
              b"\x2a" + bytes([len(values)]) + values)
    message = b"\x0a" + bytes([len(column)]) + column
    return struct.pack(">I", len(message)) + message


def records(version):
    round_groups = b"".join(digest(16 * i) + digest(16 * i + 1) + struct.pack(">QQII", 100 + i, 40 + i, 1 + i, 2 - i)
                            for i in range(2))
    records = {
        "schema": b"M" + bytes([version]) + text(b"run") + digest(1) + struct.pack(">QQB", 1000, 7, 1),
        "counters": b"C" + bytes([version]) + struct.pack(">I", 1) +
                    struct.pack(">11Q", 1, 20, 3, 8, 9, 7, 8, 101, 102, 103, 104) +
                    struct.pack(">2Q", 6, 4) + struct.pack(">2Q", 7, 5) +
                    struct.pack(">10Q", *range(200, 210)) + (struct.pack(">Q", 210) if version > 4 else b"") +
                    struct.pack(">6Q", *range(300, 306)) + struct.pack(">Q", 5),
        "slot_leased": slot(version, 2, 0, 0, b"g0", 0),
        "slot_stored": slot(version, 3, 0, 1, b"g0", 2),
        "slot_gone": slot(version, 4, 1, 1, b"", 1),
        "gone": b"X" + bytes([version]) + bytes([1, 1]) + struct.pack(">QQ", 8, 6) + summary() + text(b"g0") +
                struct.pack(">I", 2),
        "round": b"R" + bytes([version]) + struct.pack(">II", 1, 2) + struct.pack(">QQQQ", 41, 82, 5, 1) +
                 text(b"lr: 1") + text(b"cpu") +
                 struct.pack(">BII", 2, 3, 2) + round_groups + (columns() + struct.pack(">Q", 50) if version > 3 else b""),
        "update": b"U" + bytes([version]) + struct.pack(">Q", 41) + trainees(version),
        "last": b"D" + bytes([version]) + struct.pack(">Q", 84),
        "tries": b"T" + bytes([version]) + struct.pack(">IIB", 4, 3, 1) + text(b"not finite"),
        "fork": b"F" + bytes([version]) + struct.pack(">IQQ", 1, 41, 84),
        "key_slot": struct.pack(">Q", 258),
        "key_gone": struct.pack(">QI", 258, 3),
        "key_group": struct.pack(">QQ", 4, 258),
        "key_round": b"r" + struct.pack(">IQ", 1, 41),
    }
    if version > 4:
        records["slot_quarantined"] = slot(version, 5, 0, 5, b"g0", 0, b"status 500")
    return {name: value.hex() for name, value in records.items()}


directory = os.path.dirname(os.path.abspath(__file__))
for name, version in (("store.json", 5), ("store_v4.json", 4), ("store_v3.json", 3)):
    with open(os.path.join(directory, name), "w") as out:
        json.dump(records(version), out, indent=1)
        out.write("\n")
