/** The two ways to read stdout or stderr of an exec: page by page, or by following. */
import type { Readable } from "node:stream";
import type { Chunk } from "@helmr/protocol/api";
import type { ApiClient } from "../http/api-client.ts";

export interface ExecAddress {
  api: ApiClient;
  workspaceId: string;
  execId: string;
}

export interface ExecStream {
  page: (cursor: number) => Promise<readonly Chunk[]>;
  connect: (cursor: string, signal: AbortSignal) => Promise<Readable>;
}

const pageLimit = 500;

export function execStream({ api, workspaceId, execId }: ExecAddress, name: "stdout" | "stderr"): ExecStream {
  const id = name === "stdout" ? "execs.stdout" : "execs.stderr";
  const params = { id: workspaceId, execID: execId };
  return {
    page: async (cursor) => (await api.call(id, { params, query: { cursor, limit: pageLimit } })).chunks,
    connect: (cursor, signal) => api.events(id, { params, query: { follow: 1, cursor }, signal }),
  };
}
