// Publish an order and follow the topic until it arrives, resuming from the cursor after a broken connection.
// Node 22 or later (Node 20: node --experimental-websocket); no packages.
//   WEIRGATE_URL=http://127.0.0.1:8080 WEIRGATE_TOKEN=… node examples/clients/follow.mjs
import { randomUUID } from "node:crypto";

const url = process.env.WEIRGATE_URL ?? "http://127.0.0.1:8080";
const token = process.env.WEIRGATE_TOKEN;

/** Resolves with the receipt when the event is stored; retries are safe because the id stays the same. */
export async function publish(event) {
  const body = JSON.stringify({ eventId: randomUUID(), ...event });
  for (let attempt = 0; ; attempt++) {
    const answer = await fetch(url + "/v1/events", {
      method: "POST", body,
      headers: { "Content-Type": "application/json", Authorization: "Bearer " + token },
    }).catch(error => ({ ok: false, status: 0, json: async () => ({ retryable: true, detail: error.message }) }));
    const result = await answer.json();
    if (answer.ok) return result;
    if (!result.retryable || attempt === 5) throw new Error(`${answer.status} ${result.code}: ${result.detail}`);
    await new Promise(resolve => setTimeout(resolve, Math.random() * 250 * 2 ** attempt));
  }
}

/** Calls `onEvent` for every event until it returns false; `onReady` once the place in the log is fixed. */
export function follow(topic, { onReady = () => {}, onEvent }) {
  let cursor, positions = {}, tries = 0;
  return new Promise((resolve, reject) => {
    (function open() {
      const socket = new WebSocket(url.replace(/^http/, "ws") + "/v1/stream", ["weirgate.v1"]);
      let delay;
      socket.onopen = () => {
        socket.send(JSON.stringify({ id: 1, op: "hello", token }));
        const from = cursor ? { cursor, positions } : "latest";
        socket.send(JSON.stringify({ id: 2, op: "subscribe", topics: [topic], from }));
      };
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.op === "ping") return socket.send('{"op":"pong"}');
        if (message.op === "bye") return void (delay = message.delayMs);
        if (message.error) { reject(new Error(message.error.detail)); return socket.close(); }
        if (message.id === 2) { tries = 0; cursor = message.ok.cursor; onReady(); }
        if (message.gap) console.warn("missed", message.gap, message.reason);
        if (message.event) {
          (positions[message.topic] ??= {})[message.partition] = message.offset + 1;
          if (onEvent(message) === false) { resolve(); socket.close(1000); }
        }
      };
      socket.onclose = ({ code }) => {
        if (code === 1000) return resolve();
        if (code >= 4000 && code < 4100) return reject(new Error("closed for good: " + code));
        setTimeout(open, delay ?? Math.random() * Math.min(30000, 250 * 2 ** tries++));
      };
    })();
  });
}

const orderId = "ord_" + randomUUID().slice(0, 8);
await follow("orders.v1", {
  onReady: async () => console.log("published", await publish({
    eventType: "orders.placed.v1", source: "order-service",
    data: {
      orderId, customerId: "42", placedAt: new Date().toISOString(), currency: "EUR", totalAmount: 5980,
      items: [{ sku: "MUG-BLUE", quantity: 2, unitPrice: 2990 }],
    },
  })),
  onEvent: ({ topic, partition, offset, event }) => {
    console.log("received", topic, partition, offset, event.data.orderId);
    return event.data.orderId !== orderId;
  },
});
