/** Execs and terminals as they are read, and the chunks of their streams (http §13, §14). */
import { decideRead } from "../domain/bytes.ts";
import { isEnded, type ProcessKind, type StreamName } from "../domain/exec.ts";
import { isRefusal, notFound, type Refusal, refuse } from "../outcome.ts";
import { byteStreamPage, type ChunkRow, type ExecAddress, execGet, execList, type ExecRow } from "../store/exec.ts";
import { workspaceGet } from "../store/workspace.ts";
import type { EngineContext } from "../engine-context.ts";
import { noWorkspace } from "./delete-workspace.ts";

export type { ChunkRow, ExecAddress, ExecRow };

export const noExec = (kind: ProcessKind): Refusal => notFound(kind === "pty" ? "pty not found" : "exec not found");

export async function readExec({ db }: EngineContext, address: ExecAddress): Promise<ExecRow | Refusal> {
  return (await execGet(db, address)) ?? noExec(address.kind);
}

export async function listExecs(
  { db }: EngineContext,
  filter: { environmentId: string; workspaceId: string; kind: ProcessKind; state: string | undefined; limit: number },
): Promise<ExecRow[] | Refusal> {
  const workspace = await workspaceGet(db, filter.environmentId, filter.workspaceId);
  return workspace ? execList(db, filter) : noWorkspace();
}

export interface ChunkPage {
  chunks: ChunkRow[];
  /** Behind the last byte that is there. */
  length: number;
}

/** From the byte at the cursor on; a cursor before what is kept is an answer of its own. */
export async function readChunks(
  { db }: EngineContext,
  { execId, name }: { execId: string; name: StreamName },
  page: { cursor: number; limit: number },
): Promise<ChunkPage | Refusal> {
  const found = await byteStreamPage(db, execId, name, { from: page.cursor, limit: page.limit });
  if (!found) return { chunks: [], length: 0 };
  const { stream, chunks } = found;
  const read = decideRead(stream, page.cursor);
  if (read.kind === "expired")
    return refuse(
      "workspace_stream_cursor_expired",
      `bytes before ${read.earliest} are not kept any more: the earliest cursor is ${read.earliest}`,
    );
  return { chunks: chunks.map((row) => (row.offset_start < read.offset ? cut(row, read.offset) : row)), length: stream.length };
}

function cut(row: ChunkRow, from: number): ChunkRow {
  return { ...row, offset_start: from, data: row.data.subarray(from - row.offset_start) };
}

/**
 * What a follower is given next: bytes as soon as they are there, and the end once all of them were given. The end is only asked for when there is nothing
 * new, and then looked at again for what came in between.
 */
export async function readNext(
  context: EngineContext,
  address: ExecAddress,
  { name, cursor, limit }: { name: StreamName; cursor: number; limit: number },
): Promise<{ page: ChunkPage; end: { state: string; error: unknown } | undefined } | Refusal> {
  const look = () => readChunks(context, { execId: address.id, name }, { cursor, limit });
  const page = await look();
  if (isRefusal(page)) return page;
  if (page.chunks.length > 0) return { page, end: undefined };
  const end = await readEnd(context, address);
  if (!end) return { page, end };
  const rest = await look();
  if (isRefusal(rest)) return rest;
  return { page: rest, end: rest.chunks.length > 0 ? undefined : end };
}

/** How the exec ended, when it did. */
export async function readEnd({ db }: EngineContext, address: ExecAddress): Promise<{ state: string; error: unknown } | undefined> {
  const exec = await execGet(db, address);
  return exec && isEnded(exec.state) ? { state: exec.state, error: exec.error } : undefined;
}
