/** What should run in the mounts of a worker's leases: said with every push and renewal until it has ended (protocol/worker/live.ts). */
import type { Directive, ProcessOrder } from "@helmr/protocol/worker";
import { execOrders, type OrderRow } from "../store/exec.ts";
import type { EngineContext } from "../engine-context.ts";

export async function readExecDirectives({ db }: EngineContext, leases: readonly { leaseId: string }[]): Promise<Directive[]> {
  const rows = await execOrders(
    db,
    leases.map((lease) => lease.leaseId),
  );
  return rows.map(orderOf);
}

function orderOf(row: OrderRow): ProcessOrder {
  return {
    type: "process",
    lease_id: row.lease_id,
    exec_id: row.id,
    number: row.number,
    command: row.command,
    cwd: row.cwd,
    env: row.env,
    ...(row.timeout_seconds === null ? {} : { timeout_ms: row.timeout_seconds * 1_000 }),
    ...(row.kind === "exec" ? {} : { terminal: { cols: row.cols ?? 80, rows: row.rows ?? 24 } }),
    started: row.started,
    input: { length: row.input_length, closed: row.stdin_closed },
    ...(row.kill_signal === null ? {} : { signal: { seq: row.kill_seq, name: row.kill_signal } }),
    closing: row.state === "closing",
  };
}
