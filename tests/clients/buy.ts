// Buys what is in the cart, by the types that openapi-typescript makes of openapi.json.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { argv: string[]; exitCode: number };
const [, , url, token, key] = process.argv as [string, string, string, string, string];
const orders = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

const preview = await orders.GET("/api/v1/i/orders/preview/");
if (!preview.data) throw new Error(JSON.stringify(preview.error));

const placed = await orders.POST("/api/v1/i/orders/", {
  params: { header: { "Idempotency-Key": key } },
  body: {
    action: "save_order",
    expected_total: preview.data.total_amount,
    billing_address: {
      street_address: "123 Main St",
      postal_code: "K1A 0B1",
      city: "Ottawa",
      state: "ON",
      country: "Canada",
    },
  },
});
if (!placed.data) throw new Error(JSON.stringify(placed.error));

const page = await orders.GET("/api/v1/i/orders/", { params: { query: { limit: 1 } } });
const order = page.data?.results[0];
if (!order) throw new Error(JSON.stringify(page.error));
const status: "awaiting_payment" | "paid" | "delivered" | "cancelled" = order.status;
console.log(order.id, status, order.total_amount, order.items[0]?.product.sku);
