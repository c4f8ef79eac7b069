#!/usr/bin/env python3
"""read_events.py FILE: the events of a TensorBoard event file, a JSON object a line: {"wall_time", "step", "values": {tag: number}}.
Written from TensorFlow's record format and event.proto; lengths and checksums are checked bit by bit. Standard library only."""
import json
import struct
import sys


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def records(data):
    while data:
        (length,), (check,) = struct.unpack("<Q", data[:8]), struct.unpack("<I", data[8:12])
        assert check == masked(data[:8]), "checksum of a length"
        body = data[12:12 + length]
        (check,) = struct.unpack("<I", data[12 + length:16 + length])
        assert len(body) == length and check == masked(body), "checksum of a record"
        yield body
        data = data[16 + length:]


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            length, at = varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at:at + length], at + length
        yield tag >> 3, value


for record in records(open(sys.argv[1], "rb").read()):
    event = {"step": 0, "values": {}}
    for number, value in fields(record):
        if number == 1:
            (event["wall_time"],) = struct.unpack("<d", value)
        elif number == 2:
            event["step"] = value
        elif number == 3:
            event["file_version"] = value.decode()
        elif number == 5:
            for _, one in fields(value):
                inner = dict(fields(one))
                (event["values"][inner[1].decode()],) = struct.unpack("<f", inner[2])
        elif number == 7:
            event["session"] = dict(fields(value))[1]
    print(json.dumps(event))
