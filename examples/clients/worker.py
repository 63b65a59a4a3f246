#!/usr/bin/env python3
"""Publish an order, then work in a group until it has been acknowledged. Needs: pip install websockets

WEIRGATE_URL=http://127.0.0.1:8080 WEIRGATE_TOKEN=… python3 examples/clients/worker.py
"""
import asyncio
import json
import os
import random
import urllib.request
import uuid

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

URL = os.environ.get("WEIRGATE_URL", "http://127.0.0.1:8080")
TOKEN = os.environ["WEIRGATE_TOKEN"]


def publish(order_id):
    """Stored when this returns. A retry sends the same eventId, so that it is stored once."""
    event = {
        "eventId": str(uuid.uuid4()),
        "eventType": "orders.placed.v1",
        "source": "order-service",
        "data": {"orderId": order_id, "customerId": "42", "placedAt": "2026-11-21T10:15:30Z", "currency": "EUR",
                 "totalAmount": 5980, "items": [{"sku": "MUG-BLUE", "quantity": 2, "unitPrice": 2990}]},
    }
    request = urllib.request.Request(
        URL + "/v1/events", json.dumps(event).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + TOKEN})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


async def work(group, handle):
    """Calls `handle` for each delivery: True acknowledges, False has it come again later. Ends when it returns None."""
    delay = 0.25
    while True:
        try:
            async with connect(URL.replace("http", "ws", 1) + "/v1/stream", subprotocols=["weirgate.v1"],
                               additional_headers={"Authorization": "Bearer " + TOKEN}) as socket:
                await socket.send(json.dumps({"id": 1, "op": "subscribe", "group": group, "credit": 16}))
                async for text in socket:
                    message = json.loads(text)
                    delay = 0.25
                    if message.get("op") == "ping":
                        await socket.send('{"op":"pong"}')
                    elif "error" in message:
                        raise SystemExit(f"refused: {message['error']['detail']}")
                    elif "delivery" in message and "offset" in message:
                        outcome = handle(message)
                        settle = {"op": "nack", "delivery": message["delivery"]} if outcome is False \
                            else {"op": "ack", "deliveries": [message["delivery"]]}
                        await socket.send(json.dumps({"sub": message["sub"], **settle}))
                        if outcome is None:
                            return
        except (ConnectionClosed, OSError):
            pass
        await asyncio.sleep(random.uniform(0, delay))  # full jitter
        delay = min(delay * 2, 30)


if __name__ == "__main__":
    order_id = "ord_" + uuid.uuid4().hex[:8]
    print("published", publish(order_id))

    def handle(delivery):
        data = delivery["event"]["data"]
        print("working on", data["orderId"], "attempt", delivery["attempt"])
        return None if data["orderId"] == order_id else True

    asyncio.run(work("inventory-sync", handle))
    print("acknowledged", order_id)
