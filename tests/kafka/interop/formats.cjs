// Confluent's client for JavaScript on topics in its formats, with kafkajs, whose own client of registries reads beside it:
//   formats.cjs read|write BROKERS REGISTRY TOKEN
// For each topic a line of JSON comes in, with its name, format, wire and the data to write; what is read of it goes out as one.
const assert = require("node:assert");
const { createInterface } = require("node:readline");
const { create, createFileRegistry } = require("@bufbuild/protobuf");
const { FieldDescriptorProto_Label, FieldDescriptorProto_Type, FileDescriptorProtoSchema } = require("@bufbuild/protobuf/wkt");
const confluent = require("@confluentinc/schemaregistry");
const kafkajs = require("@kafkajs/confluent-schema-registry");
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require("kafkajs");
const lz4 = require("lz4js");

CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});

const [what, brokers, url, token] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "formats", brokers: brokers.split(","), logLevel: logLevel.NOTHING });
const client = new confluent.SchemaRegistryClient({
  baseURLs: [url],
  bearerAuthCredentials: { credentialsSource: "STATIC_TOKEN", token, logicalCluster: "weirgate", identityPoolId: "none" },
});
const bearer = () => ({
  prepareRequest: (next) =>
    next().then((request) => request.enhance({ headers: { authorization: `Bearer ${token}` } })),
});
const beside = new kafkajs.SchemaRegistry({ host: url, middlewares: [bearer] });

const { DOUBLE, INT64, STRING } = FieldDescriptorProto_Type;
const fields = [["eventId", STRING], ["orderId", STRING], ["customerId", STRING], ["amount", DOUBLE], ["timestamp", INT64]];
const file = create(FileDescriptorProtoSchema, {
  name: "order.proto",
  package: "com.mpc.commerce.orders",
  syntax: "proto3",
  messageType: [
    {
      name: "OrderPlacedEvent",
      field: fields.map(([jsonName, type], index) => ({
        name: jsonName.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        jsonName,
        number: index + 1,
        type,
        label: FieldDescriptorProto_Label.OPTIONAL,
      })),
    },
  ],
});
const Order = createFileRegistry(file, () => undefined).getMessage("com.mpc.commerce.orders.OrderPlacedEvent");

// What is read as it is told: without what a library adds, 64-bit numbers of Protobuf as text.
const told = (value) =>
  JSON.parse(JSON.stringify(value, (name, one) => (typeof one === "bigint" ? String(one) : name[0] === "$" ? undefined : one)));

const serdes = {
  avro: [confluent.AvroSerializer, confluent.AvroDeserializer],
  json: [confluent.JsonSerializer, confluent.JsonDeserializer],
  protobuf: [confluent.ProtobufSerializer, confluent.ProtobufDeserializer],
};

async function serialize({ name, format, wire, data }) {
  const by = wire === "header" ? confluent.HeaderSchemaIdSerializer : confluent.PrefixSchemaIdSerializer;
  const settings = { autoRegisterSchemas: false, useLatestVersion: true, schemaIdSerializer: by };
  const serializer = new serdes[format][0](client, confluent.SerdeType.VALUE, settings);
  const headers = {};
  let value = data;
  if (format === "protobuf") {
    serializer.registry.add(Order);
    value = create(Order, { ...data, timestamp: BigInt(data.timestamp) });
  }
  return { key: data.customerId, value: await serializer.serialize(name, value, headers), headers };
}

async function deserialize({ name, format, wire }, { key, value, headers }) {
  const deserializer = new serdes[format][1](client, confluent.SerdeType.VALUE, {});
  const read = told(await deserializer.deserialize(name, value, headers));
  if (wire === "prefix") assert.deepStrictEqual(told(await beside.decode(value)), read, `${name}: ${format}`);
  return { name, key: key.toString(), value: read };
}

async function write(topics) {
  const producer = kafka.producer();
  await producer.connect();
  for (const topic of topics) {
    await producer.send({ topic: topic.name, acks: -1, messages: [await serialize(topic)] });
  }
  await producer.disconnect();
}

async function read(topics) {
  const consumer = kafka.consumer({ groupId: `formats-${topics[0].name}` });
  await consumer.connect();
  await consumer.subscribe({ topics: topics.map(({ name }) => name), fromBeginning: true });
  const waiting = new Map(topics.map((topic) => [topic.name, topic]));
  await new Promise((done, fail) =>
    consumer.run({
      eachMessage: async ({ topic: name, message }) => {
        const topic = waiting.get(name);
        waiting.delete(name);
        const line = topic && (await deserialize(topic, message).catch(fail));
        if (line) process.stdout.write(JSON.stringify(line) + "\n");
        if (waiting.size === 0) done();
      },
    }),
  );
  await consumer.disconnect();
}

(async () => {
  const topics = [];
  for await (const line of createInterface({ input: process.stdin })) topics.push(JSON.parse(line));
  await { read, write }[what](topics);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
