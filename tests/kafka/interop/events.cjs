// The CloudEvents SDK for JavaScript on Kafka, by its own binding:
//   events.cjs write BROKERS TOPIC MODE          writes the events that standard input has, one a line
//   events.cjs read BROKERS TOPIC GROUP COUNT    tells so many events from the start of the topic, a line each
// An event is its JSON format; MODE is binary or structured. kafkajs has bytes where the SDK wants text, and the other
// way round, and takes no header without a value.
const { CloudEvent, Kafka: binding } = require("cloudevents");
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require("kafkajs");
const lz4 = require("lz4js");
const { createInterface } = require("node:readline");

CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});

const [what, brokers, topic, ...more] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "cloudevents", brokers: brokers.split(","), logLevel: logLevel.NOTHING });
const mapped = (headers, change) =>
  Object.fromEntries(Object.entries(headers ?? {}).flatMap(([name, one]) => (one === undefined ? [] : [[name, change(one)]])));

async function write() {
  const producer = kafka.producer();
  await producer.connect();
  for await (const line of createInterface({ input: process.stdin })) {
    const { headers, key, value } = binding[more[0]](new CloudEvent(JSON.parse(line)));
    const text = typeof value === "string" ? value : JSON.stringify(value);
    await producer.send({ topic, acks: -1, messages: [{ key, value: text, headers: mapped(headers, String) }] });
  }
  await producer.disconnect();
}

async function read() {
  const [groupId, count] = [more[0], Number(more[1])];
  const consumer = kafka.consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let told = 0;
  await new Promise((done) =>
    consumer.run({
      eachMessage: async ({ message: { key, value, headers } }) => {
        const text = mapped(headers, (one) => one.toString());
        const event = binding.toEvent({ key: key?.toString(), value: value.toString(), headers: text });
        if (told < count) process.stdout.write(JSON.stringify(event) + "\n");
        if (++told === count) done();
      },
    }),
  );
  await consumer.disconnect();
}

({ write, read })[what]().catch((error) => {
  console.error(error);
  process.exit(1);
});
