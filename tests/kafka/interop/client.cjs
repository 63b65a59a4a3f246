// kafkajs for the tests, its settings as they come:
//   client.cjs produce BROKERS TOPIC          writes the records that standard input has, one a line
//   client.cjs consume BROKERS TOPIC GROUP    tells every record, a line each, until standard input ends
// A record is {"key", "value", "headers": [[name, value], …]}, all but names in base64 or null.
// The gateway compresses with lz4, which kafkajs reads once it is given the codec.
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require("kafkajs");
const lz4 = require("lz4js");
const { createInterface } = require("node:readline");

CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});

const [what, brokers, topic, groupId] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "kafkajs", brokers: brokers.split(","), logLevel: logLevel.NOTHING });
const bytes = (text) => (text === null ? null : Buffer.from(text, "base64"));
const text = (buffer) => (buffer === null || buffer === undefined ? null : Buffer.from(buffer).toString("base64"));
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");

// kafkajs has an object of headers, and a list where a name repeats.
function grouped(headers) {
  const all = {};
  for (const [name, value] of headers) (all[name] ??= []).push(bytes(value));
  return all;
}
const listed = (headers) =>
  Object.entries(headers ?? {}).flatMap(([name, value]) => [value].flat().map((one) => [name, text(one)]));

async function produce() {
  const producer = kafka.producer();
  await producer.connect();
  const messages = [];
  for await (const line of createInterface({ input: process.stdin })) {
    const { key, value, headers = [] } = JSON.parse(line);
    messages.push({ key: bytes(key), value: bytes(value), headers: grouped(headers) });
  }
  await producer.send({ topic, acks: -1, messages });
  await producer.disconnect();
}

async function consume() {
  const consumer = kafka.consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message: { offset, key, value, headers } }) =>
      tell({ partition, offset: Number(offset), key: text(key), value: text(value), headers: listed(headers) }),
  });
  for await (const _ of createInterface({ input: process.stdin }));
  await consumer.disconnect();
}

({ produce, consume })[what]().catch((error) => {
  console.error(error);
  process.exit(1);
});
