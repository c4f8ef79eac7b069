#!/usr/bin/env python3
# needs: zstandard==0.23.0
"""Writes delta_v1.bin and delta_zstd_v1.bin: one chunk of a delta, by the format in common/weights/codec/deltachunk.h, plain and
compressed; and list_v1.bin: the same changes as a list, by changelist.h. tests/unit/weights/delta_test.c makes the same arrays."""
import os

import zstandard

HERE = os.path.dirname(os.path.abspath(__file__))
TENSORS = [100, 0, 210, 33, 40000]  # elements; each begins at a multiple of 32


def old(e):
    return (e * 40503 + 7) & 0xFFFF


def new(tensor, i, e):
    """Value of element i of a tensor, element e of the flat array."""
    if tensor == 2:  # nearly all, by much
        return old(e) if i % 10 == 0 else (old(e) + 3 * e + 1) & 0xFFFF
    if tensor == 3:  # signs
        return old(e) ^ 0x8000 if i in (0, 32) else old(e)
    if i % 170 == 5:
        return (old(e) + (1 if i // 170 % 2 else -1)) & 0xFFFF
    return old(e)


def varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def zigzag(step):
    signed = step - 0x10000 if step & 0x8000 else step
    return 2 * signed if signed >= 0 else -2 * signed - 1


where, what, sections, offset = b"", b"", 0, 0
counts, elements, values = b"", b"", b""
for tensor, count in enumerate(TENSORS):
    steps = [(new(tensor, i, offset + i) - old(offset + i)) & 0xFFFF for i in range(count)]
    changed = [i for i in range(count) if steps[i]]
    counts += len(changed).to_bytes(4, "little")
    elements += b"".join(i.to_bytes(4, "little") for i in changed)
    values += b"".join(new(tensor, i, offset + i).to_bytes(2, "little") for i in changed)
    if changed:
        first, last = changed[0], changed[-1]
        dense = len(changed) >= 32 and 2 * len(changed) > last - first + 1
        sections += 1
        listed = range(first, last + 1) if dense else changed
        where += varint(tensor << 1 | dense) + varint(first) + varint(len(listed))
        if dense:
            what += b"".join(steps[i].to_bytes(2, "little") for i in listed)
        else:
            where += b"".join(varint(b - a - 1) for a, b in zip(changed, changed[1:]))
            what += b"".join(varint(zigzag(steps[i])) for i in changed)
    offset += (count + 31) // 32 * 32


def write(name, parts):
    stored = b"".join(varint(len(raw)) + varint(len(packed)) for raw, packed in parts)
    with open(os.path.join(HERE, name), "wb") as out:
        out.write(b"RLWD\x01" + varint(sections) + stored + b"".join(packed for _, packed in parts))


def packed(raw):
    frame = zstandard.ZstdCompressor(level=1).compress(raw)
    return frame if len(frame) < len(raw) else raw


write("delta_v1.bin", [(where, where), (what, what)])
write("delta_zstd_v1.bin", [(where, packed(where)), (what, packed(what))])

head = b"RLWL" + b"".join(word.to_bytes(4, "little") for word in (1, len(TENSORS), 0)) + counts
with open(os.path.join(HERE, "list_v1.bin"), "wb") as out:
    out.write(head + bytes(-len(head) % 64) + elements + values)
