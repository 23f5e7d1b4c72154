/** Execs: processes in a mounted workspace (http §13). */
import * as z from "zod";
import { idempotencyKey, integer, limitQuery, oneOf, plainText, textProblem, uuidParam } from "../shared/index.ts";
import { byteStreamEvents, byteStreamQuery, byteWriteBody, chunkPageView, chunkView, exampleChunk } from "./byte-streams.ts";
import { endpoint } from "./endpoint.ts";
import { count, emptyBody, exampleId, exampleTime, id, json, timestamp } from "./fields.ts";
import { mountErrors, workspaceParams } from "./workspaces.ts";

export const execStates = ["queued", "materializing", "running", "exited", "terminated", "lost", "failed"] as const;
export type ExecState = (typeof execStates)[number];
export const terminalExecStates = ["exited", "terminated", "lost", "failed"] as const satisfies readonly ExecState[];

const execSignals = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGCONT", "SIGSTOP", "SIGWINCH"] as const;

export const execView = z
  .object({
    id,
    workspace_id: id,
    workspace_mount_id: id.optional(),
    command: z.array(z.string()),
    cwd: z.string(),
    env_shape: z.record(z.string(), z.string()).optional(),
    filesystem_mode: z.literal("write"),
    state: z.enum(execStates),
    detached: z.boolean(),
    process_id: z.string().optional(),
    exit_code: z.int().optional(),
    signal: z.string().optional(),
    error: json.optional(),
    stdout_cursor: count,
    stderr_cursor: count,
    stdin_cursor: count,
    stdin_closed_at: timestamp.optional(),
    created_at: timestamp,
    started_at: timestamp.optional(),
    exited_at: timestamp.optional(),
    updated_at: timestamp,
  })
  .meta({ id: "Exec" });
export type Exec = z.output<typeof execView>;

const exampleExec: Exec = {
  id: exampleId.exec,
  workspace_id: exampleId.workspace,
  workspace_mount_id: exampleId.mount,
  command: ["npm", "test"],
  cwd: "/workspace",
  filesystem_mode: "write",
  state: "exited",
  detached: false,
  process_id: "412",
  exit_code: 0,
  stdout_cursor: 6,
  stderr_cursor: 0,
  stdin_cursor: 0,
  created_at: exampleTime,
  started_at: exampleTime,
  exited_at: exampleTime,
  updated_at: exampleTime,
};

export const execCreateView = z.object({ exec: execView, is_cached: z.literal(true).optional() }).meta({ id: "ExecCreateResult" });
export type ExecCreateResult = z.output<typeof execCreateView>;

/** Absolute, without `..`. */
export function workingDirectory() {
  return plainText().refine((path) => path.startsWith("/") && !path.split("/").includes(".."), "must be an absolute path without ..");
}

/** Names of environment variables are the caller's; only what no process can receive is refused. */
const environment = z.record(z.string(), z.string()).superRefine((variables, context) => {
  for (const [name, value] of Object.entries(variables)) {
    const problem = name === "" || name.includes("=") ? "must have a name without =" : (textProblem(name) ?? textProblem(value));
    if (problem !== undefined) context.addIssue({ code: "custom", path: [name], message: problem });
  }
});

export const execCreateBody = z.strictObject({
  command: z.array(plainText().refine((part) => part.trim() !== "", "must not be blank")).min(1),
  cwd: workingDirectory().optional(),
  env: environment.optional(),
  detached: z.boolean().default(false),
  timeout_seconds: integer(1, 86_400).optional().meta({ description: "the process is killed after so long; without it, with its mount" }),
  idempotency_key: idempotencyKey().optional(),
});
export type ExecCreateBody = z.output<typeof execCreateBody>;
export type ExecCreateInput = z.input<typeof execCreateBody>;

/** `TERM` and `SIGTERM` are the same. */
export const execSignalBody = z.strictObject({
  signal: z
    .string()
    .default("TERM")
    .transform((name) => (name.startsWith("SIG") ? name : `SIG${name}`))
    .refine((name) => (execSignals as readonly string[]).includes(name), `must be one of ${execSignals.join(", ")}`),
});
export type ExecSignalBody = z.output<typeof execSignalBody>;
export type ExecSignalInput = z.input<typeof execSignalBody>;

const execParams = workspaceParams.extend({ execID: uuidParam("exec") });
const execResponse = z.object({ exec: execView });

const output = (stream: "stdout" | "stderr") =>
  endpoint({
    id: `execs.${stream}`,
    method: "GET",
    path: `/workspaces/{id}/execs/{execID}/${stream}`,
    family: "environment",
    permission: "workspace.exec.read",
    summary: `Read or follow ${stream} of an exec`,
    params: execParams,
    query: byteStreamQuery,
    response: chunkPageView,
    statuses: [200],
    errors: ["workspace_stream_cursor_expired"],
    events: byteStreamEvents,
    example: { response: { chunks: [{ ...exampleChunk, stream }] } },
  });

export const execEndpoints = {
  create: endpoint({
    id: "execs.create",
    method: "POST",
    path: "/workspaces/{id}/execs",
    family: "environment",
    permission: "workspace.exec.create",
    summary: "Start a process in a workspace, mounting it when needed",
    params: workspaceParams,
    body: execCreateBody,
    response: execCreateView,
    statuses: [201, 200],
    errors: ["idempotency_fingerprint_mismatch", "workspace_writer_active", ...mountErrors],
    example: {
      body: { command: ["npm", "test"] },
      response: {
        exec: { ...exampleExec, state: "queued", process_id: undefined, exit_code: undefined, started_at: undefined, exited_at: undefined },
      },
    },
  }),
  list: endpoint({
    id: "execs.list",
    method: "GET",
    path: "/workspaces/{id}/execs",
    family: "environment",
    permission: "workspace.exec.read",
    summary: "List the execs of a workspace",
    params: workspaceParams,
    query: z.object({ state: oneOf(execStates).optional(), limit: limitQuery(200, 50) }),
    response: z.object({ execs: z.array(execView) }),
    statuses: [200],
    example: { response: { execs: [exampleExec] } },
  }),
  get: endpoint({
    id: "execs.get",
    method: "GET",
    path: "/workspaces/{id}/execs/{execID}",
    family: "environment",
    permission: "workspace.exec.read",
    summary: "Get an exec",
    params: execParams,
    response: execResponse,
    statuses: [200],
    example: { response: { exec: exampleExec } },
  }),
  writeStdin: endpoint({
    id: "execs.writeStdin",
    method: "POST",
    path: "/workspaces/{id}/execs/{execID}/stdin",
    family: "environment",
    permission: "workspace.exec.manage",
    summary: "Write to stdin at its cursor; an exact replay gives the stored chunk",
    params: execParams,
    body: byteWriteBody,
    response: chunkView,
    statuses: [200],
    errors: ["workspace_exec_terminal", "workspace_exec_stdin_closed", "workspace_stream_offset_conflict"],
    errorStatuses: [413],
    example: { body: { offset: 0, data: "aGVsbG8K" }, response: { ...exampleChunk, stream: "stdin" } },
  }),
  closeStdin: endpoint({
    id: "execs.closeStdin",
    method: "POST",
    path: "/workspaces/{id}/execs/{execID}/stdin/close",
    family: "environment",
    permission: "workspace.exec.manage",
    summary: "Close stdin",
    params: execParams,
    body: emptyBody,
    response: execResponse,
    statuses: [200],
    errors: ["workspace_exec_terminal"],
    example: { body: {}, response: { exec: { ...exampleExec, stdin_closed_at: exampleTime } } },
  }),
  signal: endpoint({
    id: "execs.signal",
    method: "POST",
    path: "/workspaces/{id}/execs/{execID}/signal",
    family: "environment",
    permission: "workspace.exec.manage",
    summary: "Send a signal to the processes of an exec",
    params: execParams,
    body: execSignalBody,
    response: execResponse,
    statuses: [200],
    errors: ["workspace_exec_terminal"],
    example: { body: { signal: "TERM" }, response: { exec: exampleExec } },
  }),
  stdout: output("stdout"),
  stderr: output("stderr"),
};
