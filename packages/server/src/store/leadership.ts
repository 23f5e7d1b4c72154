/**
 * Leads of loops as session-level advisory locks on one connection of its own. The connection is opened when the first loop asks; when it is lost every
 * lead is lost with it, and asked for again on a new one.
 */
import type pg from "pg";
import type { Db } from "./db.ts";

export interface LoopLeads {
  /** True while this process holds the lock of the loop. */
  lead(loop: string): Promise<boolean>;
  close(): Promise<void>;
}

export function openLeads(db: Db, onChange: (loop: string, leads: boolean) => void = () => undefined): LoopLeads {
  let connection: Promise<pg.Client> | undefined;
  const held = new Set<string>();

  function forget(): void {
    connection = undefined;
    for (const loop of held) onChange(loop, false);
    held.clear();
  }

  function connect(): Promise<pg.Client> {
    connection ??= db.connect().then(
      (client) => {
        client.once("end", forget);
        return client;
      },
      (error: unknown) => {
        connection = undefined;
        throw error;
      },
    );
    return connection;
  }

  return {
    async lead(loop) {
      if (held.has(loop)) return true;
      const client = await connect();
      const { rows } = await client.query<{ locked: boolean }>("select pg_try_advisory_lock(hashtextextended($1, 0)) as locked", [
        `loop ${loop}`,
      ]);
      if (rows[0]?.locked !== true) return false;
      held.add(loop);
      onChange(loop, true);
      return true;
    },
    async close() {
      const client = await connection?.catch(() => undefined);
      held.clear();
      await client?.end().catch(() => undefined);
    },
  };
}
