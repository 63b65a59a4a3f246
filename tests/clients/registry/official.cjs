// Registers, writes and reads with Confluent's client for JavaScript: official.cjs REGISTRY TOKEN TOPIC.
const assert = require("node:assert");
const { JsonDeserializer, JsonSerializer, SchemaRegistryClient, SerdeType } = require("@confluentinc/schemaregistry");

const [url, token, topic] = process.argv.slice(2);
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
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
