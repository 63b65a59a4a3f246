# kafka-python for the tests, its settings as they come:
#   client.py produce BROKERS TOPIC          writes the records that standard input has, one a line
#   client.py consume BROKERS TOPIC GROUP    tells every record, a line each, until standard input ends
# A record is {"key", "value", "headers": [[name, value], …]}, all but names in base64 or null. The gateway
# compresses with lz4, which kafka-python reads where the package lz4 is installed.
import base64
import json
import signal
import sys
import threading

from kafka import KafkaConsumer, KafkaProducer

what, brokers, topic, *group = sys.argv[1:]
brokers = brokers.split(",")


def blob(text):
    return None if text is None else base64.b64decode(text)


def text(blob):
    return None if blob is None else base64.b64encode(blob).decode()


def tell(line):
    print(json.dumps(line), flush=True)


def produce():
    producer = KafkaProducer(bootstrap_servers=brokers)
    records = (json.loads(line) for line in sys.stdin)
    sent = [
        producer.send(
            topic,
            key=blob(record["key"]),
            value=blob(record["value"]),
            headers=[(name, blob(value)) for name, value in record.get("headers", [])],
        )
        for record in records
    ]
    for one in sent:
        one.get(timeout=30)
    producer.close()


class Ended(Exception):
    """Standard input has ended."""


def end(*_):
    raise Ended


def consume():
    # One wait without an end, as in its documentation. Where kafka-python is polled for a little while at a time, it throws
    # away a join that comes to its end between two polls: it joins anew, or, as the group's leader after new metadata, takes
    # itself for joined, has no partition and sends no heartbeat.
    consumer = KafkaConsumer(topic, bootstrap_servers=brokers, group_id=group[0], auto_offset_reset="earliest")
    signal.signal(signal.SIGUSR1, end)
    reader = threading.main_thread().ident
    try:
        until_ended = lambda: (sys.stdin.read(), signal.pthread_kill(reader, signal.SIGUSR1))
        threading.Thread(target=until_ended, daemon=True).start()
        for one in consumer:
            headers = [[name, text(value)] for name, value in one.headers]
            key, value = text(one.key), text(one.value)
            tell({"partition": one.partition, "offset": one.offset, "key": key, "value": value, "headers": headers})
    except Ended:
        consumer.close()


{"produce": produce, "consume": consume}[what]()
