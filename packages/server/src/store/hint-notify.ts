/**
 * Hints between processes over NOTIFY: sent outside of any transaction, several topics in one message. The listening connection is opened again whenever
 * it is lost; what was sent meanwhile is lost, which hints may be. A process does not hear itself.
 */
import { randomUUID } from "node:crypto";
import type pg from "pg";
import type { HintTransport } from "../hints.ts";
import type { Db } from "./db.ts";
import { statement } from "./statement.ts";

const channel = "helmr_hints";
/** PostgreSQL refuses payloads of 8000 bytes. */
const payloadBytesMax = 7_000;
const reconnectMs = 1_000;

const notify = statement<{ payload: string }>("hint_notify", `select pg_notify('${channel}', $payload)`);

export function notifyTransport(db: Db): HintTransport {
  const self = randomUUID();
  return {
    async publish(topics) {
      for (const payload of payloads(self, topics)) await db.run(notify, { payload });
    },
    async listen(deliver) {
      let stopped = false;
      let client: pg.Client | undefined;
      let retry: NodeJS.Timeout | undefined;
      const again = () => {
        if (!stopped) retry = setTimeout(() => void connect().catch(again), reconnectMs).unref();
      };
      const connect = async () => {
        const next = await db.connect();
        client = next;
        next.on("notification", ({ payload = "" }) => {
          const [sender, ...topics] = payload.split("\n");
          if (sender !== self) for (const topic of topics) deliver(topic);
        });
        next.once("end", again);
        await next.query(`listen ${channel}`);
      };
      await connect();
      return async () => {
        stopped = true;
        clearTimeout(retry);
        await client?.end().catch(() => undefined);
      };
    },
  };
}

function* payloads(self: string, topics: readonly string[]): Generator<string> {
  let text = self;
  for (const topic of topics) {
    if (text.length + topic.length + 1 > payloadBytesMax) {
      yield text;
      text = self;
    }
    text += `\n${topic}`;
  }
  if (text !== self) yield text;
}
