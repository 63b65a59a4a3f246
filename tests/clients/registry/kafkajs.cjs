// Registers, writes and reads with kafkajs's client of schema registries: kafkajs.cjs REGISTRY TOKEN TOPIC AVRO_TOPIC.
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const { SchemaRegistry, SchemaType } = require("@kafkajs/confluent-schema-registry");

const [host, token, topic, paidTopic] = process.argv.slice(2);
const file = (name) => fs.readFileSync(path.join(__dirname, name), "utf8");
// It knows passwords only; a token goes in by what it calls a middleware.
const bearer = () => ({
  prepareRequest: (next) =>
    next().then((request) => request.enhance({ headers: { authorization: `Bearer ${token}` } })),
});
const registry = new SchemaRegistry({ host, middlewares: [bearer] });
const subject = `${topic}-value`;
const schema = JSON.stringify({
  title: "Order",
  type: "object",
  required: ["orderId"],
  properties: { orderId: { type: "string" }, amount: { type: "integer" } },
});
const order = { orderId: "ord_1", amount: 7 };

(async () => {
  const { id } = await registry.register({ type: SchemaType.JSON, schema }, { subject });
  const written = await registry.encode(id, order);
  assert.deepStrictEqual([written[0], written.readInt32BE(1)], [0, id]);
  assert.deepStrictEqual(await registry.decode(written), order);
  await assert.rejects(() => registry.encode(id, { amount: 7 }));
  assert.strictEqual(await registry.getRegistryId(subject, 1), id);
  assert.strictEqual(await registry.getLatestSchemaId(subject), id);
  const again = await registry.register({ type: SchemaType.JSON, schema }, { subject });
  assert.strictEqual(again.id, id);
  await assert.rejects(() => registry.getLatestSchemaId("absent-value"));
  console.log("round trip", id);

  const paid = JSON.parse(file("paid.json"));
  paid.receipt = Buffer.from(paid.receipt, "base64");
  const registered = await registry.register(
    { type: SchemaType.AVRO, schema: file("paid.avsc") },
    { subject: `${paidTopic}-value` },
  );
  const avro = await registry.encode(registered.id, paid);
  assert.strictEqual(JSON.stringify(await registry.decode(avro)), JSON.stringify(paid));
  console.log("avro", avro.toString("hex"));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
