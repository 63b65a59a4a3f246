"""Registers, writes and reads Protobuf with Confluent's client for Python: protobuf.py REGISTRY TOKEN TOPIC."""

import sys

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

url, token, topic = sys.argv[1:4]
client = SchemaRegistryClient({
    "url": url,
    "bearer.auth.credentials.source": "STATIC_TOKEN",
    "bearer.auth.token": token,
    "bearer.auth.logical.cluster": "weirgate",
    "bearer.auth.identity.pool.id": "none",
})
subject = f"{topic}-value"
STRING, INT32, MESSAGE = 9, 5, 11


def file(name, messages, imports=()):
    """A file of messages, each with its fields: name, type, type's name."""
    described = descriptor_pb2.FileDescriptorProto(name=name, package="shop", syntax="proto3", dependency=imports)
    for message, fields in messages.items():
        of = described.message_type.add(name=message)
        for number, (field, kind, type_name) in enumerate(fields, 1):
            of.field.add(name=field, number=number, type=kind, type_name=type_name, label=1)
    return described


descriptor_pool.Default().AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
for described in [
    file("order.proto", {
        "Order": [("order_id", STRING, None), ("amount", INT32, None), ("at", MESSAGE, ".google.protobuf.Timestamp")],
        "Refund": [("order_id", STRING, None)],
    }, ["google/protobuf/timestamp.proto"]),
    file("customer.proto", {"Customer": [("id", STRING, None)]}),
    file("visit.proto", {"Visit": [("customer", MESSAGE, ".shop.Customer")]}, ["customer.proto"]),
]:
    descriptor_pool.Default().AddSerializedFile(described.SerializeToString())


def message(name):
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"shop.{name}"))


Order, Refund, Customer, Visit = (message(name) for name in ("Order", "Refund", "Customer", "Visit"))


def round_trip(kind, value, topic, indexes):
    place = SerializationContext(topic, MessageField.VALUE)
    written = ProtobufSerializer(kind, client)(value, place)
    assert written[0] == 0 and written[5:5 + len(indexes)] == indexes, written
    read = ProtobufDeserializer(kind, schema_registry_client=client)(written, place)
    assert read.SerializeToString() == value.SerializeToString(), read
    return int.from_bytes(written[1:5], "big")


order = Order(order_id="ord_1", amount=7, at=timestamp_pb2.Timestamp(seconds=1))
schema_id = round_trip(Order, order, topic, b"\x00")
assert round_trip(Refund, Refund(order_id="ord_1"), topic, b"\x02\x02") == schema_id, "one file is one schema"
round_trip(Visit, Visit(customer=Customer(id="c")), f"{topic}.visits", b"\x00")
found = client.get_latest_version(f"{topic}.visits-value")
assert [reference.name for reference in found.schema.references] == ["customer.proto"], found

text = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
message Order { // What a shop is asked for.
  string order_id = 1;
  int32 amount = 2;
  google.protobuf.Timestamp at = 3;
}
message Refund { string order_id = 1; }
"""
schema = Schema(text, schema_type="PROTOBUF")
assert client.register_schema(subject, schema) == schema_id, "the text is the descriptor's schema"
assert client.lookup_schema(subject, schema).version == 1
assert client.test_compatibility(subject, Schema(text.replace("int32", "uint32"), schema_type="PROTOBUF"))
broken = Schema(text.replace("int32", "string"), schema_type="PROTOBUF")
assert not client.test_compatibility(subject, broken)
try:
    client.register_schema(subject, broken)
    raise AssertionError("a version that breaks readers was registered")
except SchemaRegistryError as error:
    assert error.http_status_code == 409 and "FIELD_SCALAR_KIND_CHANGED" in str(error), error
imports = [SchemaReference("customer.proto", "customer.proto", 1)]
more = Schema("syntax = \"proto3\"; import \"customer.proto\"; message A { shop.Customer c = 1; }", "PROTOBUF", imports)
assert client.register_schema("more", more) != schema_id
print("round trip", schema_id)
