// What a producer and a reader would write with the types of the sample events; lines marked as errors must be errors.
import type { Envelope, Event, Events, OrdersPlacedV1 } from "./types";

const order: OrdersPlacedV1 = {
  orderId: "ord_1",
  customerId: "c1",
  placedAt: "2026-01-01T00:00:00Z",
  currency: "EUR",
  totalAmount: 2,
  items: [{ sku: "A", quantity: 1, unitPrice: 2 }],
  shippingAddress: { name: "A", street: "Weir 1", city: "Ulm", postalCode: "89073", country: "DE" },
};
export const placed: Envelope<"orders.placed.v1", Events["orders.placed.v1"]> = {
  eventType: "orders.placed.v1",
  data: order,
};

// @ts-expect-error a member that must be there is not
export const without: OrdersPlacedV1 = { orderId: "ord_1" };
// @ts-expect-error a member that the schema does not name
export const beyond: OrdersPlacedV1 = { ...order, colour: "red" };
// @ts-expect-error a number where a text must be
export const number: OrdersPlacedV1 = { ...order, orderId: 1 };
// @ts-expect-error another type's data
export const other: Event = { eventType: "user.created.v1", data: order };

export function read(event: Event): string {
  switch (event.eventType) {
    case "orders.placed.v1":
      return event.data.items.map((item) => item.sku).join();
    case "user.created.v1":
      // @ts-expect-error users have no items
      return event.data.items;
    default:
      return event.source ?? "";
  }
}
