#!/usr/bin/env python3
# needs: xxhash
"""Writes group_v2.bin, group_v1.bin (as stores of format 3 have it), disposition_v1.bin, lease_request_v1.bin and lease_reply_v1.bin: the messages below, encoded by protoc."""
import os
import struct
import subprocess

import xxhash

HERE = os.path.dirname(os.path.abspath(__file__))
PROTO = os.path.join(HERE, "..", "..", "proto")


def group_id(run, lineage, slot, attempt):
    key = run.encode() + b"\0" + struct.pack(">IQI", lineage, slot, attempt)
    return xxhash.xxh3_128(key).digest()


def text(data):
    return '"' + "".join("\\%03o" % byte for byte in data) + '"'


def values(kind, *numbers):
    return text(struct.pack(f"<{len(numbers)}{kind}", *numbers))


ID = text(group_id("sort-1", 2, 5000000000, 3))
OTHER = text(group_id("sort-1", 2, 7, 1))

GROUP = f"""
id: {ID} run: "sort-1" lineage: 2 slot: 5000000000 attempt: 3 prompt: 904 epoch: 1 start_round: 41
row: "{{\\"prompt\\": \\"hgfedcba>\\", \\"completion\\": \\"abcdefgh\\"}}"
prompt_tokens: [9, 8, 7, 6, 5, 4, 3, 2, 28] temperature: 0.7 generator: "generator-0"
completions {{
  turns {{
    role: ROLE_ASSISTANT tokens: [2, 3, 4, 1] trained: true
    spans {{ first_token: 0 version: 40 }} spans {{ first_token: 3 version: 42 }}
  }}
  finish: FINISH_EOS text: "abc"
}}
completions {{
  turns {{ role: ROLE_ASSISTANT tokens: [4294967295] trained: true spans {{ first_token: 0 version: 42 }} }}
  turns {{ role: ROLE_TOOL tokens: [7, 8] }}
  turns {{
    role: ROLE_ASSISTANT tokens: [9, 1] trained: true
    spans {{ first_token: 0 version: 42 }} spans {{ first_token: 1 version: 43 }}
  }}
  finish: FINISH_LENGTH text: "\\377\\000z"
}}
columns {{ id: 1 unit: UNIT_TOKEN dtype: DTYPE_F32 values: {values("f", -0.5, -0.125, 0, -3.25, -11.5, 0, 0, -1, -2)} }}
columns {{ id: 2 unit: UNIT_TOKEN dtype: DTYPE_F32 completions: 0 values: {values("f", -0.25, -0.125, 0, -3)} }}
columns {{ id: 4 unit: UNIT_SEQUENCE dtype: DTYPE_F64 values: {values("d", 1, -0.5, 0, 0.25)} }}
columns {{ id: 5 unit: UNIT_SEQUENCE dtype: DTYPE_F64 values: {values("d", 0.75, 0)} }}
columns {{ id: 63 unit: UNIT_GROUP dtype: DTYPE_U8 values: {values("B", 1, 2, 3)} }}
"""
# The same as far as stores of format 3 had it.
OLD = f"""
id: {ID} run: "sort-1" lineage: 2 slot: 5000000000 attempt: 3 prompt: 904 epoch: 1 start_round: 41
row: "{{\\"prompt\\": \\"hgfedcba>\\", \\"completion\\": \\"abcdefgh\\"}}"
prompt_tokens: [9, 8, 7, 6, 5, 4, 3, 2, 28] temperature: 0.7 generator: "generator-0"
completions {{
  tokens: [2, 3, 4, 1] logp: [-0.5, -0.125, 0, -3.25] sampled_logp: [-0.25, -0.125, 0, -3]
  spans {{ first_token: 0 version: 40 }} spans {{ first_token: 3 version: 42 }}
  finish: 1 text: "abc" scores: [1, -0.5] reward: 0.75
}}
completions {{
  tokens: [4294967295] logp: [-11.5] spans {{ first_token: 0 version: 42 }}
  finish: 2 text: "\\377\\000z" scores: [0, 0.25]
}}
"""
DISPOSITION = f'id: {ID} outcome: OUTCOME_SUPERSEDED reason: "the slot holds attempt 4"'
REQUEST = f"""
run: "sort-1" generator: "generator-0" incarnation: 12345678901234567890 lineage: 2 version: 42 want: 16
progress {{ id: {ID} tokens: 7 }} progress {{ id: {OTHER} }} give_back: {OTHER}
"""
REPLY = f"""
grants {{ id: {ID} lineage: 2 slot: 5000000000 attempt: 3 prompt: 904 epoch: 1 start_round: 41
         row: "{{}}" deadline_ms: 60000 }}
grants {{ id: {OTHER} lineage: 2 slot: 7 attempt: 1 row: "{{\\"a\\": 1}}" deadline_ms: 1 }}
revoked: {OTHER} ended: true
"""


def write(name, proto, kind, message, package="rlhfd.v1"):
    data = subprocess.run(["protoc", f"--encode={package}.{kind}", f"-I{PROTO}", proto],
                          input=message.encode(), stdout=subprocess.PIPE, check=True).stdout
    with open(os.path.join(HERE, name), "wb") as out:
        out.write(data)


write("group_v2.bin", "rollout.proto", "Group", GROUP)
write("group_v1.bin", "rollout_v3.proto", "Group", OLD, "rlhfd.v3")
write("disposition_v1.bin", "rollout.proto", "Disposition", DISPOSITION)
write("lease_request_v1.bin", "prompts.proto", "LeaseRequest", REQUEST)
write("lease_reply_v1.bin", "prompts.proto", "LeaseReply", REPLY)
