// A day's few calls by the generated TypeScript types; arguments: the address and a clerk's key.
import createClient from "openapi-fetch";
import type { paths } from "./api";

async function main(): Promise<void> {
  const [baseUrl, key] = process.argv.slice(2);
  const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
  const list = await client.GET("/v1/clerks/{clerk_id}/actions", {
    params: { path: { clerk_id: "k1" }, query: { limit: 2 } },
  });
  if (list.data === undefined) throw new Error(JSON.stringify(list.error));
  const first = list.data.actions[0];
  const card = await client.GET("/v1/customers/{customer_id}", {
    params: { path: { customer_id: first.customer_id } },
  });
  if (card.data === undefined) throw new Error(JSON.stringify(card.error));
  const told = await client.POST("/v1/actions/{action_id}/feedback", {
    params: { path: { action_id: first.action_id } },
    body: { feedback_id: "ts-1", kind: "opened", ts: list.data.now },
  });
  if (told.data === undefined) throw new Error(JSON.stringify(told.error));
  const seen = await client.POST("/v1/events", {
    body: {
      behaviour: [
        { event_id: "ts-1", customer_id: first.customer_id, ts: list.data.now, kind: "view" },
      ],
    },
  });
  if (seen.data?.accepted !== 1) throw new Error(JSON.stringify(seen));
  const stranger = await client.GET("/v1/customers/{customer_id}", {
    params: { path: { customer_id: "c31" } },
  });
  if (stranger.error?.code !== "not_permitted") throw new Error("a stranger's card was shown");
  console.log(told.data.status, card.data.customer_id);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
