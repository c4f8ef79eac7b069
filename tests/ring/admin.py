#!/usr/bin/env python3
"""Everything of LearnerAdmin by a client that knows the address alone: messages come from server reflection.

    admin.py ADDRESS METHOD ['{"json": "request"}']     -- one call: its reply, or the error with its details, as JSON
    admin.py ADDRESS                                    -- every method once, for good and for wrong; needs a learner that trains

Needs grpcio, grpcio-reflection, protobuf; run by hand.
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


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    sys.exit(one(Client(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}))
