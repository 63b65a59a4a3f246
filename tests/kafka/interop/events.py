# The CloudEvents SDK for Python on Kafka, by its own binding:
#   events.py write BROKERS TOPIC MODE          writes the events that standard input has, one a line
#   events.py read BROKERS TOPIC GROUP COUNT    tells so many events from the start of the topic, a line each
# An event is its JSON format. MODE is binary, structured, or one of the older functions: v1-binary, v1-structured.
import json
import sys
from datetime import datetime

from cloudevents.core.bindings import kafka as binding
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import kafka as older
from cloudevents.v1.http import CloudEvent as OlderEvent
from dateutil.parser import isoparse
from kafka import KafkaConsumer, KafkaProducer

what, brokers, topic, *more = sys.argv[1:]
brokers = brokers.split(",")


def message(event, mode):
    data = event.pop("data")
    if mode.startswith("v1-"):
        to = {"v1-binary": older.to_binary, "v1-structured": older.to_structured}[mode]
        return to(OlderEvent(event, data))
    if "time" in event:
        event["time"] = isoparse(event["time"])
    to = {"binary": binding.to_binary_event, "structured": binding.to_structured_event}[mode]
    return to(CloudEvent(event, data))


def write():
    producer = KafkaProducer(bootstrap_servers=brokers)
    for line in sys.stdin:
        made = message(json.loads(line), more[0])
        key = made.key.encode() if isinstance(made.key, str) else made.key
        producer.send(topic, key=key, value=made.value, headers=list(made.headers.items())).get(timeout=30)
    producer.close()


def told(value):
    return value.isoformat() if isinstance(value, datetime) else value


def read():
    group, count = more[0], int(more[1])
    consumer = KafkaConsumer(topic, bootstrap_servers=brokers, group_id=group, auto_offset_reset="earliest")
    for _ in range(count):
        one = next(consumer)
        event = binding.from_kafka_event(binding.KafkaMessage(dict(one.headers), one.key, one.value))
        attributes = {name: told(value) for name, value in event.get_attributes().items()}
        print(json.dumps({**attributes, "data": event.get_data()}), flush=True)
    consumer.close()


{"write": write, "read": read}[what]()
