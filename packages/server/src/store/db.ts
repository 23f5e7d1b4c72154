/**
 * The only way to PostgreSQL: a bounded pool, statements by name, transactions that are repeated when PostgreSQL asks for it.
 *
 * A `Tx` is handed to store functions whose name of parameter is `tx`: they must run inside the caller's transaction. A transaction body may
 * run more than once (serialization failure, deadlock), so it must not act on anything but the database; what follows a commit (hints) goes
 * through `tx.afterCommit`. When the answer to a COMMIT is lost the outcome is unknown: the error is `DatabaseUnavailable` with
 * `unknown: true` and the caller's caller repeats the whole idempotent operation.
 */
import pg from "pg";
import { Bug } from "../assert.ts";
import { DatabaseUnavailable } from "../database-unavailable.ts";
import type { Statement } from "./statement.ts";

export { DatabaseUnavailable };

const maxAttempts = 5;
const retryableCodes = new Set(["40001", "40P01"]);

/** What a transaction has read is not so any more: it begins again, like after a serialization failure. */
export class RepeatTransaction extends Error {
  override name = "RepeatTransaction";
}

export interface Queryable {
  all<P extends object, R extends object>(statement: Statement<P, R>, params: P): Promise<R[]>;
  /** The first row, if there is one. */
  one<P extends object, R extends object>(statement: Statement<P, R>, params: P): Promise<R | undefined>;
  /** Number of rows touched: zero under a fence means stale. */
  run<P extends object, R extends object>(statement: Statement<P, R>, params: P): Promise<number>;
}

export interface Tx extends Queryable {
  readonly inTransaction: true;
  /** Runs once after a successful commit, never after a rollback. Must not throw. */
  afterCommit(action: () => void): void;
}

export interface Db extends Queryable {
  tx<T>(body: (tx: Tx) => Promise<T>): Promise<T>;
  /** A connection of its own, for LISTEN; the caller closes it. */
  connect(): Promise<pg.Client>;
  close(): Promise<void>;
}

export interface DbOptions {
  url: string;
  poolSize: number;
  /** Where an idle connection's error goes; it is never fatal. */
  onError?: (error: Error) => void;
  /** Called before each statement: chaos and each-step tests fail chosen ones here. */
  intercept?: (statement: string, phase: "before" | "after") => void;
}

export function openDb(options: DbOptions): Db {
  const settings: pg.ClientConfig = {
    connectionString: options.url,
    options: sessionOptions,
    types: typeParsers,
    statement_timeout: 30_000,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    // Statements that are issued together travel together; BEGIN travels with the first statement.
    pipeline: true,
  };
  const pool = new pg.Pool({ ...settings, max: options.poolSize, idleTimeoutMillis: 60_000 });
  pool.on("error", (error) => options.onError?.(error));
  pool.on("connect", (client) => {
    client.on("error", (error) => options.onError?.(error));
  });
  return {
    ...queryable(pool, options.intercept),
    async tx(body) {
      for (let count = 1; ; count += 1) {
        try {
          return await attempt(pool, body, options.intercept);
        } catch (error) {
          if (count >= maxAttempts || !isRepeatable(error)) throw error;
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 10 * 2 ** count));
        }
      }
    },
    async connect() {
      const client = new pg.Client({ ...settings, statement_timeout: 0 });
      client.on("error", (error) => options.onError?.(error));
      await client.connect();
      return client;
    },
    close: () => pool.end(),
  };
}

const isRepeatable = (error: unknown) => error instanceof RepeatTransaction || retryableCodes.has(sqlState(error) ?? "");

type Intercept = DbOptions["intercept"];

function queryable(on: pg.Pool | pg.PoolClient, intercept: Intercept): Queryable {
  async function query<P extends object, R extends object>(statement: Statement<P, R>, params: P): Promise<pg.QueryResult<R>> {
    intercept?.(statement.name, "before");
    const values = statement.parameters.map((name) => params[name] ?? null);
    const result = await on.query<R>({ name: statement.name, text: statement.text, values }).catch((error: unknown) => {
      // Inside a transaction the error goes to `attempt`, which knows whether a COMMIT was on its way.
      if (on instanceof pg.Pool && isConnectionError(error)) {
        throw new DatabaseUnavailable("The connection to PostgreSQL was lost", { cause: error, unknown: true });
      }
      throw error;
    });
    intercept?.(statement.name, "after");
    return result;
  }
  return {
    all: async (statement, params) => (await query(statement, params)).rows,
    one: async (statement, params) => (await query(statement, params)).rows[0],
    run: async (statement, params) => (await query(statement, params)).rowCount ?? 0,
  };
}

async function attempt<T>(pool: pg.Pool, body: (tx: Tx) => Promise<T>, intercept: Intercept): Promise<T> {
  const client = await pool.connect().catch((cause: unknown) => {
    throw new DatabaseUnavailable("Cannot connect to PostgreSQL", { cause, unknown: false });
  });
  const actions: (() => void)[] = [];
  let committing = false;
  try {
    const begun = client.query("begin");
    begun.catch(() => undefined);
    const result = await body({ ...queryable(client, intercept), inTransaction: true, afterCommit: (action) => actions.push(action) });
    committing = true;
    intercept?.("commit", "before");
    const { command } = await client.query("commit");
    // A statement failed and the body went on: PostgreSQL has thrown all of it away.
    if (command !== "COMMIT") throw new Bug(`A transaction whose statement had failed was committed: ${command}`);
    intercept?.("commit", "after");
    client.release();
    for (const action of actions) action();
    return result;
  } catch (error) {
    await giveBack(client, error);
    if (isConnectionError(error)) {
      throw new DatabaseUnavailable("The connection to PostgreSQL was lost", { cause: error, unknown: committing });
    }
    throw error;
  }
}

async function giveBack(client: pg.PoolClient, error: unknown): Promise<void> {
  if (isConnectionError(error)) {
    client.release(error instanceof Error ? error : true);
    return;
  }
  try {
    await client.query("rollback");
    client.release();
  } catch (rollbackError) {
    client.release(rollbackError instanceof Error ? rollbackError : true);
  }
}

export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** The constraint or index a write ran into. */
export function violatedConstraint(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError && error.code?.startsWith("23") ? error.constraint : undefined;
}

/** Class 57 is the server going away (shutdown, crash of another backend, terminate); 08 the connection; no code at all is a socket error. */
export function isConnectionError(error: unknown): boolean {
  if (error instanceof DatabaseUnavailable) return true;
  if (error instanceof pg.DatabaseError) return /^(08|57P0[1-5])/.test(error.code ?? "");
  if (!(error instanceof Error)) return false;
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return (
    /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH)/.test(code) ||
    /Connection terminated|connection timeout|Client has encountered a connection error/i.test(error.message)
  );
}

/**
 * Every statement of ours is prepared once per connection, goes by an index, and is meant to be planned once. Left to itself PostgreSQL would plan the
 * large ones anew at each call (4 to 8 ms for a claim, measured), and would keep plans that were made while a table was empty: a scan of the whole
 * queue is right for no rows and wrong for 100,000.
 */
export const sessionOptions = [
  "TimeZone=UTC",
  "DateStyle=ISO",
  "plan_cache_mode=force_generic_plan",
  "enable_seqscan=off",
  // A list with a limit is a walk along its index; a bitmap would fetch all of it and sort.
  "enable_bitmapscan=off",
  "jit=off",
]
  .map((option) => `-c ${option}`)
  .join(" ");

const oid = { int8: 20, timestamptz: 1184, date: 1082 } as const;

/** int8 as number (all of ours stay far below 2^53), timestamptz as the RFC 3339 text of the API (http: trailing zeros trimmed, Z). */
const typeParsers: pg.CustomTypesConfig = {
  getTypeParser: ((typeId: number, format?: "text" | "binary") => {
    if (typeId === oid.int8) return Number;
    if (typeId === oid.timestamptz) return rfc3339;
    if (typeId === oid.date) return String;
    return pg.types.getTypeParser(typeId, format);
  }) as typeof pg.types.getTypeParser,
};

/** `2026-01-02 03:04:05.120000+00` → `2026-01-02T03:04:05.12Z`; the session's time zone is UTC. */
export function rfc3339(text: string): string {
  const match = /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?\+00$/.exec(text);
  if (!match) return new Date(text).toISOString().replace(/\.?0+Z$/, "Z");
  const fraction = (match[3] ?? "").replace(/0+$/, "");
  return `${match[1]}T${match[2]}${fraction ? `.${fraction}` : ""}Z`;
}

/** A value for a json or jsonb parameter: `pg` would turn arrays into PostgreSQL arrays. */
export function json(value: unknown): string {
  return JSON.stringify(value ?? null);
}
