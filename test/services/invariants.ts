/** Runs test/invariants.sql: what must hold of the stored state between any two transactions. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";

export interface BrokenInvariant {
  name: string;
  rows: Record<string, unknown>[];
}

interface Invariant {
  name: string;
  sql: string;
}

let loaded: Promise<Invariant[]> | undefined;

function invariants(): Promise<Invariant[]> {
  loaded ??= readFile(join(import.meta.dirname, "..", "invariants.sql"), "utf8").then((text) =>
    text
      .split(/^-- name: /m)
      .slice(1)
      .map((part) => {
        const [name = "", ...lines] = part.split("\n");
        return { name, sql: lines.join("\n") };
      }),
  );
  return loaded;
}

/** Empty when everything holds. All queries see one snapshot. */
export async function brokenInvariants(databaseUrl: string): Promise<BrokenInvariant[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query("begin transaction isolation level repeatable read read only");
    const broken: BrokenInvariant[] = [];
    for (const { name, sql } of await invariants()) {
      const { rows } = await client.query<Record<string, unknown>>(sql);
      if (rows.length > 0) broken.push({ name, rows: rows.slice(0, 5) });
    }
    await client.query("commit");
    return broken;
  } finally {
    await client.end();
  }
}
