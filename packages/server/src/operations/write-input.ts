/**
 * Bytes for the stdin of an exec or for a terminal (http §13.2, §14): stored at their offset, then pushed to the worker at once. An identical repeat
 * gives the stored chunk; anything else that does not continue the stream is refused. Locks the exec's stream.
 */
import { limits } from "@helmr/protocol/shared";
import type { ChannelMessage } from "@helmr/protocol/worker";
import { decideWrite } from "../domain/bytes.ts";
import { isEnded, streamNames } from "../domain/exec.ts";
import { newId } from "../new-id.ts";
import { invalid, type Refusal, refusal, refuse } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import {
  byteChunkAppend,
  byteChunkList,
  byteChunkTrim,
  byteStreamLock,
  type ChunkRow,
  type ExecAddress,
  execTarget,
} from "../store/exec.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { noExec } from "./read-execs.ts";

export async function writeInput(
  context: EngineContext,
  address: ExecAddress,
  write: { offset: number | "end"; data: Buffer },
): Promise<ChunkRow | Refusal> {
  const { data } = write;
  if (data.length > limits.stdinWriteBytesMax)
    return refusal(413, `at most ${limits.stdinWriteBytesMax} bytes are accepted at once, and these are ${data.length}`);
  if (data.length === 0) return invalid("data must not be empty");
  const name = streamNames[address.kind].input;
  return context.db.tx(async (tx) => {
    const target = await execTarget(tx, address);
    if (!target) return noExec(address.kind);
    const stream = await byteStreamLock(tx, address.id, name);
    if (!stream) return noExec(address.kind);
    const offset = write.offset === "end" ? stream.length : write.offset;
    const decision = decideWrite({ ...stream, closed: false }, offset, data.length);
    if (decision.kind === "replay") return replayed(tx, { execId: address.id, name }, { offset, data });
    if (isEnded(target.state)) return refuse(address.kind === "pty" ? "workspace_pty_terminal" : "workspace_exec_terminal");
    if (target.stdin_closed_at !== null) return refuse("workspace_exec_stdin_closed");
    if (decision.kind === "refused") return conflict(offset, decision.expected);
    const chunks = split(offset, data);
    const length = offset + data.length;
    const rows = await byteChunkAppend(tx, { execId: address.id, name, length, chunks });
    if (length - stream.earliest > limits.byteStreamRetainedBytes + limits.stdinWriteBytesMax)
      await byteChunkTrim(tx, address.id, name, length - limits.byteStreamRetainedBytes);
    tx.afterCommit(() => pushInput(context, { ...target, execId: address.id }, { offset, data }));
    return whole(rows, data);
  });
}

function conflict(offset: number, expected: number): Refusal {
  return refuse("workspace_stream_offset_conflict", `offset ${offset} does not continue the stream: ${expected} is expected`);
}

/** At once where the worker's channel is in this process; else it is asked to look. */
function pushInput(
  context: EngineContext,
  target: { execId: string; worker_id: string | null; lease_id: string | null },
  { offset, data }: { offset: number; data: Buffer },
): void {
  if (target.worker_id === null || target.lease_id === null) return;
  const link = context.live.link(target.worker_id);
  if (!link) return context.hints.send(topic.worker(target.worker_id));
  for (const part of split(offset, data)) link.push(inputMessage(target.lease_id, target.execId, part));
}

export const inputMessage = (leaseId: string, execId: string, part: { start: number; data: Buffer }): ChannelMessage => ({
  type: "exec.input",
  lease_id: leaseId,
  exec_id: execId,
  offset: part.start,
  data: part.data.toString("base64"),
  closed: false,
});

export function split(offset: number, data: Buffer): { id: string; start: number; data: Buffer }[] {
  const parts = [];
  for (let at = 0; at < data.length; at += limits.byteChunkBytesMax)
    parts.push({ id: newId(), start: offset + at, data: data.subarray(at, at + limits.byteChunkBytesMax) });
  return parts;
}

/** One chunk for the caller, however many are stored. */
function whole(rows: ChunkRow[], data: Buffer): ChunkRow {
  const [first] = rows.toSorted((left, right) => left.offset_start - right.offset_start) as [ChunkRow];
  return { ...first, offset_end: first.offset_start + data.length, data };
}

async function replayed(
  tx: Tx,
  { execId, name }: { execId: string; name: ChunkRow["name"] },
  { offset, data }: { offset: number; data: Buffer },
): Promise<ChunkRow | Refusal> {
  const pages = Math.ceil(data.length / limits.byteChunkBytesMax) + 1;
  const rows = await byteChunkList(tx, execId, name, { from: offset, limit: pages });
  const [first] = rows;
  const stored = Buffer.concat(rows.map((row) => row.data)).subarray(0, data.length);
  if (!first || first.offset_start !== offset || !stored.equals(data)) return conflict(offset, offset + data.length);
  return { ...first, offset_end: offset + data.length, data };
}
