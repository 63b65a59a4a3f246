// Registers, writes and reads with Confluent's client for JavaScript: official.cjs REGISTRY TOKEN TOPIC AVRO_TOPIC.
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const {
  AvroDeserializer,
  AvroSerializer,
  JsonDeserializer,
  JsonSerializer,
  SchemaRegistryClient,
  SerdeType,
} = require("@confluentinc/schemaregistry");

const [url, token, topic, paidTopic] = process.argv.slice(2);
const file = (name) => fs.readFileSync(path.join(__dirname, name), "utf8");
const client = new SchemaRegistryClient({
  baseURLs: [url],
  bearerAuthCredentials: { credentialsSource: "STATIC_TOKEN", token, logicalCluster: "weirgate", identityPoolId: "none" },
});
const subject = `${topic}-value`;
const schema = JSON.stringify({
  title: "Order",
  type: "object",
  required: ["orderId"],
  properties: { orderId: { type: "string" }, amount: { type: "integer" } },
});
const order = { orderId: "ord_1", amount: 7 };

(async () => {
  const id = await client.register(subject, { schemaType: "JSON", schema });
  const serializer = new JsonSerializer(client, SerdeType.VALUE, { useLatestVersion: true, validate: true });
  const written = await serializer.serialize(topic, order);
  assert.deepStrictEqual([written[0], written.readInt32BE(1)], [0, id]);
  const deserializer = new JsonDeserializer(client, SerdeType.VALUE, {});
  assert.deepStrictEqual(await deserializer.deserialize(topic, written), order);
  await assert.rejects(() => serializer.serialize(topic, { amount: 7 }));
  assert.strictEqual((await client.getBySubjectAndId(subject, id)).schemaType, "JSON");
  assert.strictEqual((await client.getLatestSchemaMetadata(subject)).version, 1);
  assert.deepStrictEqual(await client.getAllVersions(subject), [1]);
  assert((await client.getAllSubjects()).includes(subject));
  assert(await client.testSubjectCompatibility(subject, { schemaType: "JSON", schema }));
  await assert.rejects(
    () => client.getLatestSchemaMetadata("absent-value"),
    (error) => error.status === 404 && error.errorCode === 40401,
  );
  assert.deepStrictEqual(await client.deleteSubject(subject), [1]);
  assert.strictEqual(await client.register(subject, { schemaType: "JSON", schema }), id);
  console.log("round trip", id);

  const paid = JSON.parse(file("paid.json"));
  paid.receipt = Buffer.from(paid.receipt, "base64");
  await client.register(`${paidTopic}-value`, { schemaType: "AVRO", schema: file("paid.avsc") });
  const avro = await new AvroSerializer(client, SerdeType.VALUE, { useLatestVersion: true }).serialize(paidTopic, paid);
  const read = await new AvroDeserializer(client, SerdeType.VALUE, {}).deserialize(paidTopic, avro);
  assert.strictEqual(JSON.stringify(read), JSON.stringify(paid));
  console.log("avro", avro.toString("hex"));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
