"""Registers, writes and reads with Confluent's client for Python: round_trip.py REGISTRY TOKEN TOPIC AVRO_TOPIC."""

import base64
import datetime
import json
import pathlib
import sys

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

url, token, topic, paid_topic = sys.argv[1:]
client = SchemaRegistryClient({
    "url": url,
    "bearer.auth.credentials.source": "STATIC_TOKEN",
    "bearer.auth.token": token,
    "bearer.auth.logical.cluster": "weirgate",
    "bearer.auth.identity.pool.id": "none",
})
subject = f"{topic}-value"
text = json.dumps({
    "title": "Order",
    "type": "object",
    "required": ["orderId"],
    "properties": {"orderId": {"type": "string"}, "amount": {"type": "integer"}},
})
order = {"orderId": "ord_1", "amount": 7}
place = SerializationContext(topic, MessageField.VALUE)

serializer = JSONSerializer(text, client)
written = serializer(order, place)
assert written[0] == 0, written
schema_id = int.from_bytes(written[1:5], "big")
assert JSONDeserializer(None, schema_registry_client=client)(written, place) == order
try:
    serializer({"amount": 7}, place)
    raise AssertionError("an order without an id was written")
except Exception as error:
    assert "orderId" in str(error), error

schema = Schema(text, schema_type="JSON")
assert client.register_schema(subject, schema) == schema_id
assert client.get_schema(schema_id).schema_type == "JSON"
found = client.lookup_schema(subject, schema)
assert (found.version, found.schema_id) == (1, schema_id), found
assert client.get_latest_version(subject).schema_id == schema_id
assert subject in client.get_subjects()
assert client.get_versions(subject) == [1]
assert client.test_compatibility(subject, schema)
config = client.set_compatibility(subject, level="NONE")
assert client.get_compatibility(subject) == "NONE", config
other = Schema(json.dumps({"type": "object", "required": ["other"]}), schema_type="JSON")
other_id = client.register_schema(subject, other)
assert other_id != schema_id and client.get_versions(subject) == [1, 2]
assert client.delete_version(subject, 2) == 2
assert client.get_latest_version(subject).version == 1
try:
    client.get_latest_version("absent-value")
    raise AssertionError("a subject that is not there was found")
except SchemaRegistryError as error:
    assert (error.http_status_code, error.error_code) == (404, 40401), error
print("round trip", schema_id)

here = pathlib.Path(__file__).parent
paid = json.loads((here / "paid.json").read_text())
paid["receipt"] = base64.b64decode(paid["receipt"])
paid["at"] = datetime.datetime.fromtimestamp(0, datetime.timezone.utc) + datetime.timedelta(milliseconds=paid["at"])
place = SerializationContext(paid_topic, MessageField.VALUE)
text = (here / "paid.avsc").read_text()
written = AvroSerializer(client, text)(paid, place)
assert AvroDeserializer(client)(written, place) == paid
assert client.get_schema(int.from_bytes(written[1:5], "big")).schema_type == "AVRO"
assert client.test_compatibility(f"{paid_topic}-value", Schema(text, schema_type="AVRO"))
print("avro", written.hex())
