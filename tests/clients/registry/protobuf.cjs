// Registers, writes and reads Protobuf with Confluent's client for JavaScript: protobuf.cjs REGISTRY TOKEN TOPIC.
const assert = require("node:assert");
const { create, createFileRegistry } = require("@bufbuild/protobuf");
const { FieldDescriptorProto_Label, FieldDescriptorProto_Type, FileDescriptorProtoSchema } = require("@bufbuild/protobuf/wkt");
const { ProtobufDeserializer, ProtobufSerializer, SchemaRegistryClient, SerdeType } = require("@confluentinc/schemaregistry");

const [url, token, topic] = process.argv.slice(2);
const client = new SchemaRegistryClient({
  baseURLs: [url],
  bearerAuthCredentials: { credentialsSource: "STATIC_TOKEN", token, logicalCluster: "weirgate", identityPoolId: "none" },
});
const subject = `${topic}-value`;
const label = FieldDescriptorProto_Label.OPTIONAL;
const { INT32, STRING } = FieldDescriptorProto_Type;
const file = create(FileDescriptorProtoSchema, {
  name: "order.proto",
  package: "shop",
  syntax: "proto3",
  messageType: [
    {
      name: "Order",
      field: [
        { name: "order_id", jsonName: "orderId", number: 1, type: STRING, label },
        { name: "amount", jsonName: "amount", number: 2, type: INT32, label },
      ],
    },
    { name: "Refund", field: [{ name: "order_id", jsonName: "orderId", number: 1, type: STRING, label }] },
  ],
});
const registry = createFileRegistry(file, () => undefined);
const [Order, Refund] = ["Order", "Refund"].map((name) => registry.getMessage(`shop.${name}`));
const text = `
syntax = "proto3";
package shop;
message Order {
  string order_id = 1; // What a shop knows it by.
  int32 amount = 2;
}
message Refund { string order_id = 1; }
`;

async function roundTrip(value, indexes) {
  const serializer = new ProtobufSerializer(client, SerdeType.VALUE, { autoRegisterSchemas: true });
  serializer.registry.add(Order);
  serializer.registry.add(Refund);
  const written = await serializer.serialize(topic, value);
  assert.deepStrictEqual([written[0], [...written.subarray(5, 5 + indexes.length)]], [0, indexes]);
  const read = await new ProtobufDeserializer(client, SerdeType.VALUE, {}).deserialize(topic, written);
  assert.deepStrictEqual({ ...read }, { ...value });
  return written.readInt32BE(1);
}

(async () => {
  const id = await roundTrip(create(Order, { orderId: "ord_1", amount: 7 }), [0]);
  assert.strictEqual(await roundTrip(create(Refund, { orderId: "ord_1" }), [2, 2]), id);
  const schema = { schemaType: "PROTOBUF", schema: text };
  assert.strictEqual(await client.register(subject, schema), id, "the text is the descriptor's schema");
  assert.strictEqual((await client.getBySubjectAndId(subject, id)).schemaType, "PROTOBUF");
  assert.strictEqual((await client.getLatestSchemaMetadata(subject)).version, 1);
  const broken = { schemaType: "PROTOBUF", schema: text.replace("int32", "string") };
  assert(!(await client.testSubjectCompatibility(subject, broken)));
  await assert.rejects(
    () => client.register(subject, broken),
    (error) => error.status === 409 && error.errorCode === 40901,
  );
  console.log("round trip", id);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
