#!/usr/bin/env python3
"""Everything of LearnerAdmin by a client that knows the address alone: messages come from server reflection.

    admin.py ADDRESS METHOD ['{"json": "request"}']     -- one call: its reply, or the error with its details, as JSON
    admin.py ADDRESS                                    -- every method once, for good and for wrong; needs a learner that trains

Needs grpcio, grpcio-reflection, protobuf, and compares with grpcio-status where that is installed; run by hand.
"""
import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class Client:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def method(self, name):
        for service in self.database.get_services():
            found = self.pool.FindServiceByName(service).methods_by_name.get(name)
            if found and service.startswith("rlhfd.admin."):
                return service, found
        raise SystemExit(f"no method {name} on this server")

    def call(self, name, request=None, timeout=70):
        service, method = self.method(name)
        make = message_factory.GetMessageClass(method.input_type)
        reply = message_factory.GetMessageClass(method.output_type)
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        stub = kind(f"/{service}/{name}", request_serializer=lambda m: m.SerializeToString(),
                    response_deserializer=reply.FromString)
        return stub(json_format.ParseDict(request or {}, make()), timeout=timeout)

    def error(self, name, request):
        """(code, [(field, allowed)], reason) of a call that must fail."""
        try:
            self.call(name, request)
        except grpc.RpcError as e:
            details = dict(e.trailing_metadata() or ()).get("grpc-status-details-bin")
            fields, reason = [], ""
            if details:
                status = self.message("google.rpc.Status").FromString(details)
                assert status.message == e.details(), (status.message, e.details())
                for any_ in status.details:
                    kind = any_.type_url.split("/")[-1]
                    value = self.message(kind).FromString(any_.value)
                    if kind.endswith("BadRequest"):
                        fields = [(v.field, v.description) for v in value.field_violations]
                    else:
                        reason = value.reason
            return e.code().name, fields, reason, e.details()
        raise AssertionError(f"{name}({request}) was not refused")


def as_json(message):
    return json_format.MessageToJson(message, preserving_proto_field_name=True)


def one(client, name, request):
    try:
        reply = client.call(name, request)
        for message in reply if hasattr(reply, "__iter__") else [reply]:
            print(as_json(message), flush=True)
        return 0
    except grpc.RpcError:
        print(json.dumps(client.error(name, request), indent=1))
        return 1


LIVE = {"key": "learner.optimizer.lr", "value": "0.00037"}
GOOD = [  # in order; a function of the reply must hold
    ("GetSettings", {"keys": ["lag"]}, lambda r: {s.key for s in r.settings} >= {"lag.max", "lag.straggler"}),
    ("UpdateSettings", {"settings": [LIVE], "validate_only": True}, lambda r: r.change == 0),
    ("UpdateSettings", {"settings": [LIVE], "author": "admin.py", "request_id": "admin.py-1"},
     lambda r: r.change > 0 and r.settings.settings[0].value == "0.00037"),
    ("UpdateSettings", {"settings": [LIVE], "author": "admin.py", "request_id": "admin.py-1"}, lambda r: r.change > 0),
    ("UpdateSettings", {"update_mask": [LIVE["key"]]},
     lambda r: r.settings.settings[0].value == r.settings.settings[0].given),
    ("ListChanges", {"newest_first": True, "page_size": 1}, lambda r: len(r.changes) == 1 and r.next > 0),
    ("Pause", {"training": True}, lambda r: r.training_paused and not r.generation_paused),
    ("Checkpoint", {"request_id": "admin.py-2"}, lambda r: r.name.startswith("checkpoint-")),
    ("GetOperation", {"name": "checkpoint-1", "wait_ms": 30000}, lambda r: r.state == "DONE" and r.path),
    ("ListOperations", {}, lambda r: len(r.operations) >= 1),
    ("GetStatus", {}, lambda r: r.daemon == "learner" and {t.name: t.value for t in r.texts}["paused"] == "training"
     and sum(lag.trained for lag in r.lags) > 0),
    ("Resume", {}, lambda r: not r.training_paused and not r.generation_paused),
    ("ListWorkers", {}, lambda r: {w.kind for w in r.workers} == {"generator", "rewarder"}),
    ("DrainWorker", {"name": "generator-1"}, lambda r: r.change > 0),
]
WRONG = [  # code, field (None: no details), reason
    ("GetSettings", {"keys": ["lag.mx"]}, "NOT_FOUND", "keys", "UNKNOWN_KEY"),
    ("UpdateSettings", {"settings": [{"key": "lag.mx", "value": "1"}]}, "NOT_FOUND", "lag.mx", "UNKNOWN_KEY"),
    ("UpdateSettings", {"settings": [{"key": "run.seed", "value": "1"}]}, "INVALID_ARGUMENT", "run.seed", "FIXED_KEY"),
    ("UpdateSettings", {"settings": [{"key": "lag.max", "value": "-1"}]}, "INVALID_ARGUMENT", "lag.max",
     "VALUE_NOT_ALLOWED"),
    ("UpdateSettings", {"settings": [LIVE], "etag": "old"}, "ABORTED", "etag", "STALE_ETAG"),
    ("UpdateSettings", {"settings": [LIVE], "update_mask": ["lag.max"]}, "INVALID_ARGUMENT", "update_mask",
     "VALUE_NOT_ALLOWED"),
    ("ListChanges", {"page_size": 1001}, "INVALID_ARGUMENT", "page_size", "VALUE_NOT_ALLOWED"),
    ("Pause", {"reason": "two\nlines"}, "INVALID_ARGUMENT", "reason", ""),
    ("Resume", {"author": "x" * 129}, "INVALID_ARGUMENT", "author", ""),
    ("DrainWorker", {"name": "nobody"}, "NOT_FOUND", "name", "UNKNOWN_WORKER"),
    ("Checkpoint", {"request_id": "x" * 129}, "INVALID_ARGUMENT", "request_id", "VALUE_NOT_ALLOWED"),
    ("GetOperation", {"name": "checkpoint-99"}, "NOT_FOUND", "name", "UNKNOWN_OPERATION"),
    ("WatchStatus", {"interval_ms": 1}, "INVALID_ARGUMENT", "interval_ms", ""),
]


def stock_details(client, name, request):
    """What grpcio-status, if it is installed, makes of the same error."""
    try:
        from google.rpc import error_details_pb2
        from grpc_status import rpc_status
    except ImportError:
        return None
    try:
        list(reply) if hasattr(reply := client.call(name, request), "__iter__") else reply
    except grpc.RpcError as e:
        fields = []
        for any_ in rpc_status.from_call(e).details:
            bad = error_details_pb2.BadRequest()
            if any_.Unpack(bad):
                fields += [(v.field, v.description) for v in bad.field_violations]
        return fields


def everything(client):
    before = client.call("GetSettings").etag
    for name, request, code, field, reason in WRONG:
        if name == "WatchStatus":
            try:
                next(client.call(name, request))
                raise AssertionError("not refused")
            except grpc.RpcError as e:
                assert e.code().name == code, e
            continue
        got = client.error(name, request)
        assert got[0] == code and got[1][0][0] == field and got[1][0][1] is not None and got[2] == reason, (name, got)
        stock = stock_details(client, name, request)
        assert stock is None or stock == got[1], (name, stock, got)
        print(f"{name}: {got[0]} {got[1][0][0]}: {got[1][0][1]}")
    assert client.call("GetSettings").etag == before
    for name, request, holds in GOOD:
        reply = client.call(name, request)
        assert holds(reply), (name, as_json(reply))
        print(f"{name}: ok")
    watched = client.call("WatchStatus", {"interval_ms": 100})
    assert [next(watched).daemon for _ in range(3)] == ["learner"] * 3
    watched.cancel()
    print("WatchStatus: ok")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    client = Client(sys.argv[1])
    if len(sys.argv) == 2:
        sys.exit(everything(client))
    sys.exit(one(client, sys.argv[2], json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}))
