"""Confluent's client for Python on topics in its formats, and the languages' own libraries on topics of data alone.

formats.py register|read|write BROKERS REGISTRY TOKEN; for each topic a line of JSON comes in, with its name, format, wire
and the data to write, and what is read of it goes out as one.
"""

import io
import json
import sys

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import (
    Schema,
    SchemaRegistryClient,
    header_schema_id_serializer,
    prefix_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

what, brokers, registry, token = sys.argv[1:]
topics = {topic["name"]: topic for topic in map(json.loads, sys.stdin)}
client = SchemaRegistryClient({
    "url": registry,
    "bearer.auth.credentials.source": "STATIC_TOKEN",
    "bearer.auth.token": token,
    "bearer.auth.logical.cluster": "weirgate",
    "bearer.auth.identity.pool.id": "none",
})
RECORD, PACKAGE = "OrderPlacedEvent", "com.mpc.commerce.orders"
names = ["eventId", "orderId", "customerId"]

fields = [{"name": name, "type": "string"} for name in names]
fields += [{"name": "amount", "type": "double"}, {"name": "timestamp", "type": "long"}]
avro = {"type": "record", "name": RECORD, "namespace": PACKAGE, "fields": fields}
properties = {name: {"type": "string"} for name in names}
properties |= {"amount": {"type": "number"}, "timestamp": {"type": "integer"}}
json_schema = {"title": RECORD, "type": "object", "required": names, "properties": properties}

described = descriptor_pb2.FileDescriptorProto(name="order.proto", package=PACKAGE, syntax="proto3")
message = described.message_type.add(name=RECORD)
DOUBLE, INT64, STRING = 1, 3, 9
members = [("event_id", STRING), ("order_id", STRING), ("customer_id", STRING), ("amount", DOUBLE), ("timestamp", INT64)]
for number, (name, kind) in enumerate(members, 1):
    message.field.add(name=name, number=number, type=kind, label=1)
words = {DOUBLE: "double", INT64: "int64", STRING: "string"}
lines = [f"  {words[kind]} {name} = {number};" for number, (name, kind) in enumerate(members, 1)]
protobuf = f'syntax = "proto3";\npackage {PACKAGE};\nmessage {RECORD} {{\n' + "\n".join(lines) + "\n}\n"
descriptor_pool.Default().AddSerializedFile(described.SerializeToString())
Order = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.{RECORD}"))

texts = {"json": json.dumps(json_schema), "avro": json.dumps(avro), "protobuf": protobuf}


def serializer(language, wire):
    by = {"prefix": prefix_schema_id_serializer, "header": header_schema_id_serializer}[wire]
    settings = {"auto.register.schemas": False, "use.latest.version": True, "schema.id.serializer": by}
    if language == "avro":
        return AvroSerializer(client, texts["avro"], conf=settings)
    if language == "json":
        return JSONSerializer(texts["json"], client, conf=settings)
    encode = ProtobufSerializer(Order, client, conf=settings)
    return lambda data, place: encode(json_format.ParseDict(data, Order()), place)


def alone(language, data):
    """The bytes of data without a name of its schema."""
    if language == "protobuf":
        return json_format.ParseDict(data, Order()).SerializeToString()
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(avro), data)
    return out.getvalue()


def decoded(language, wire, value, place):
    if language == "protobuf":
        decode = ProtobufDeserializer(Order, schema_registry_client=client)
        order = Order.FromString(value) if wire == "none" else decode(value, place)
        return json_format.MessageToDict(order)
    if wire == "none":
        return fastavro.schemaless_reader(io.BytesIO(value), fastavro.parse_schema(avro))
    if language == "avro":
        return AvroDeserializer(client)(value, place)
    return JSONDeserializer(None, schema_registry_client=client)(value, place)


if what == "register":
    for topic in topics.values():
        schema = Schema(texts[topic["format"]], schema_type=topic["format"].upper())
        client.register_schema(f"{topic['name']}-value", schema)

if what == "read":
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "formats"})
    known = {name: consumer.list_topics(name, 60).topics[name].partitions for name in topics}
    consumer.assign([TopicPartition(name, at, OFFSET_BEGINNING) for name in topics for at in known[name]])
    waiting = set(topics)
    while waiting:
        record = consumer.poll(100)
        assert record is not None and record.error() is None, record
        topic = topics[record.topic()]
        if topic["name"] not in waiting:
            continue
        waiting.remove(topic["name"])
        place = SerializationContext(topic["name"], MessageField.VALUE, record.headers())
        value = decoded(topic["format"], topic["wire"], record.value(), place)
        print(json.dumps({"name": topic["name"], "key": record.key().decode(), "value": value}))
    consumer.close()

if what == "write":
    producer = Producer({"bootstrap.servers": brokers})
    for name, topic in topics.items():
        data, headers = topic["data"], []
        if topic["wire"] == "none":
            value = alone(topic["format"], data)
        else:
            place = SerializationContext(name, MessageField.VALUE, headers)
            value = serializer(topic["format"], topic["wire"])(data, place)
            headers = place.headers or headers
        producer.produce(name, key=data["customerId"], value=value, headers=headers)
    assert producer.flush(60) == 0
