/** Terminals in a mounted workspace (http §14). */
import * as z from "zod";
import { cursorQuery, idempotencyKey, integer, limitQuery, oneOf, uuidParam } from "../shared/index.ts";
import { byteStreamEvents, byteStreamQuery, byteWriteBody, chunkPageView, chunkView, exampleChunk } from "./byte-streams.ts";
import { endpoint } from "./endpoint.ts";
import { workingDirectory } from "./execs.ts";
import { count, emptyBody, exampleId, exampleTime, id, json, timestamp } from "./fields.ts";
import { mountErrors, workspaceParams } from "./workspaces.ts";

export const ptyStates = ["creating", "open", "resizing", "closing", "closed", "lost", "failed"] as const;
export type PtyState = (typeof ptyStates)[number];
export const terminalPtyStates = ["closed", "lost", "failed"] as const satisfies readonly PtyState[];

export const ptyView = z
  .object({
    id,
    workspace_id: id,
    workspace_mount_id: id.optional(),
    cwd: z.string(),
    cols: z.int(),
    rows: z.int(),
    filesystem_mode: z.literal("write"),
    state: z.enum(ptyStates),
    process_id: z.string().optional(),
    exit_code: z.int().optional().meta({ description: "of the shell, once it has ended" }),
    signal: z.string().optional(),
    output_cursor: count,
    input_cursor: count,
    error: json.optional(),
    created_at: timestamp,
    started_at: timestamp.optional(),
    closed_at: timestamp.optional(),
    updated_at: timestamp,
  })
  .meta({ id: "Pty" });
export type Pty = z.output<typeof ptyView>;

const examplePty: Pty = {
  id: exampleId.pty,
  workspace_id: exampleId.workspace,
  workspace_mount_id: exampleId.mount,
  cwd: "/workspace",
  cols: 80,
  rows: 24,
  filesystem_mode: "write",
  state: "open",
  process_id: "413",
  output_cursor: 6,
  input_cursor: 0,
  created_at: exampleTime,
  started_at: exampleTime,
  updated_at: exampleTime,
};

export const ptyCreateView = z.object({ pty: ptyView, is_cached: z.literal(true).optional() }).meta({ id: "PtyCreateResult" });
export type PtyCreateResult = z.output<typeof ptyCreateView>;

const sizeMax = 500;
const sizeOr = (fallback: number) =>
  integer(0, sizeMax)
    .default(0)
    .transform((size) => (size === 0 ? fallback : size))
    .meta({ description: `0 or absent is ${fallback}` });

export const ptyCreateBody = z.strictObject({
  cwd: workingDirectory().optional(),
  cols: sizeOr(80),
  rows: sizeOr(24),
  idempotency_key: idempotencyKey().optional(),
});
export type PtyCreateBody = z.output<typeof ptyCreateBody>;
export type PtyCreateInput = z.input<typeof ptyCreateBody>;

export const ptyResizeBody = z.strictObject({ cols: integer(1, sizeMax), rows: integer(1, sizeMax) });
export type PtyResizeBody = z.output<typeof ptyResizeBody>;
export type PtyResizeInput = z.input<typeof ptyResizeBody>;

const ptyParams = workspaceParams.extend({ ptyID: uuidParam("pty") });
const ptyResponse = z.object({ pty: ptyView });

export const ptyEndpoints = {
  create: endpoint({
    id: "ptys.create",
    method: "POST",
    path: "/workspaces/{id}/pty",
    family: "environment",
    permission: "workspace.pty.create",
    summary: "Open a terminal in a workspace, mounting it when needed",
    params: workspaceParams,
    body: ptyCreateBody,
    response: ptyCreateView,
    statuses: [201, 200],
    errors: ["idempotency_fingerprint_mismatch", "workspace_writer_active", ...mountErrors],
    example: { body: { cols: 120, rows: 40 }, response: { pty: { ...examplePty, cols: 120, rows: 40 } } },
  }),
  list: endpoint({
    id: "ptys.list",
    method: "GET",
    path: "/workspaces/{id}/pty",
    family: "environment",
    permission: "workspace.pty.read",
    summary: "List the terminals of a workspace",
    params: workspaceParams,
    query: z.object({ state: oneOf(ptyStates).optional(), limit: limitQuery(200, 50) }),
    response: z.object({ ptys: z.array(ptyView) }),
    statuses: [200],
    example: { response: { ptys: [examplePty] } },
  }),
  get: endpoint({
    id: "ptys.get",
    method: "GET",
    path: "/workspaces/{id}/pty/{ptyID}",
    family: "environment",
    permission: "workspace.pty.read",
    summary: "Get a terminal",
    params: ptyParams,
    response: ptyResponse,
    statuses: [200],
    example: { response: { pty: examplePty } },
  }),
  input: endpoint({
    id: "ptys.input",
    method: "POST",
    path: "/workspaces/{id}/pty/{ptyID}/input",
    family: "environment",
    permission: "workspace.pty.manage",
    summary: "Write to a terminal at its input cursor; an exact replay gives the stored chunk",
    params: ptyParams,
    body: byteWriteBody,
    response: chunkView,
    statuses: [200],
    errors: ["workspace_pty_terminal", "workspace_pty_not_open", "workspace_stream_offset_conflict"],
    errorStatuses: [413],
    example: { body: { offset: 0, data: "bHMK" }, response: { ...exampleChunk, stream: "input", offset_end: 3, data: "bHMK" } },
  }),
  attach: endpoint({
    id: "ptys.attach",
    method: "GET",
    path: "/workspaces/{id}/pty/{ptyID}/attach",
    family: "environment",
    permission: "workspace.pty.manage",
    summary: "A terminal as a WebSocket: output and input as binary messages, size and end as JSON",
    params: ptyParams,
    query: z.object({ cursor: cursorQuery() }),
    statuses: [101],
    errorStatuses: [426],
  }),
  output: endpoint({
    id: "ptys.output",
    method: "GET",
    path: "/workspaces/{id}/pty/{ptyID}/output",
    family: "environment",
    permission: "workspace.pty.read",
    summary: "Read or follow the output of a terminal",
    params: ptyParams,
    query: byteStreamQuery,
    response: chunkPageView,
    statuses: [200],
    errors: ["workspace_stream_cursor_expired"],
    events: byteStreamEvents,
    example: { response: { chunks: [{ ...exampleChunk, stream: "output" }] } },
  }),
  resize: endpoint({
    id: "ptys.resize",
    method: "POST",
    path: "/workspaces/{id}/pty/{ptyID}/resize",
    family: "environment",
    permission: "workspace.pty.manage",
    summary: "Resize a terminal",
    params: ptyParams,
    body: ptyResizeBody,
    response: ptyResponse,
    statuses: [200],
    errors: ["workspace_pty_not_open", "workspace_pty_terminal"],
    example: { body: { cols: 120, rows: 40 }, response: { pty: { ...examplePty, cols: 120, rows: 40, state: "resizing" } } },
  }),
  close: endpoint({
    id: "ptys.close",
    method: "POST",
    path: "/workspaces/{id}/pty/{ptyID}/close",
    family: "environment",
    permission: "workspace.pty.manage",
    summary: "Close a terminal: TERM, then KILL after two seconds",
    params: ptyParams,
    body: emptyBody,
    response: ptyResponse,
    statuses: [200],
    errors: ["workspace_pty_not_open", "workspace_pty_terminal"],
    example: { body: {}, response: { pty: { ...examplePty, state: "closing" } } },
  }),
};
