/** From the wire's execs, terminals and chunks to results (sdk §11). */
import type { Chunk, Exec, Pty, StreamTerminal } from "@helmr/protocol/api";
import { base64Bytes } from "./base64.ts";
import type { WorkspaceExec, WorkspacePty, WorkspaceStreamChunk, WorkspaceStreamTerminal } from "./exec-shapes.ts";
import { MalformedAnswerError } from "./transport.ts";

export function execView(wire: Exec): WorkspaceExec {
  return {
    id: wire.id,
    workspaceId: wire.workspace_id,
    materializationId: wire.workspace_mount_id ?? null,
    command: wire.command,
    cwd: wire.cwd,
    envShape: wire.env_shape ?? {},
    filesystemMode: writeMode(wire.filesystem_mode, `exec ${wire.id}`),
    state: wire.state,
    detached: wire.detached,
    processId: wire.process_id ?? null,
    exitCode: wire.exit_code ?? null,
    signal: wire.signal ?? null,
    error: wire.error ?? null,
    stdoutCursor: wire.stdout_cursor,
    stderrCursor: wire.stderr_cursor,
    stdinCursor: wire.stdin_cursor,
    stdinClosedAt: wire.stdin_closed_at ?? null,
    createdAt: wire.created_at,
    startedAt: wire.started_at ?? null,
    exitedAt: wire.exited_at ?? null,
    updatedAt: wire.updated_at,
  };
}

export function ptyView(wire: Pty): WorkspacePty {
  return {
    id: wire.id,
    workspaceId: wire.workspace_id,
    materializationId: wire.workspace_mount_id ?? null,
    cwd: wire.cwd,
    cols: wire.cols,
    rows: wire.rows,
    filesystemMode: writeMode(wire.filesystem_mode, `terminal ${wire.id}`),
    state: wire.state,
    processId: wire.process_id ?? null,
    exitCode: wire.exit_code ?? null,
    signal: wire.signal ?? null,
    outputCursor: wire.output_cursor,
    inputCursor: wire.input_cursor,
    error: wire.error ?? null,
    createdAt: wire.created_at,
    startedAt: wire.started_at ?? null,
    closedAt: wire.closed_at ?? null,
    updatedAt: wire.updated_at,
  };
}

export function chunkView(wire: Chunk): WorkspaceStreamChunk {
  return {
    id: wire.id,
    stream: wire.stream,
    offsetStart: wire.offset_start,
    offsetEnd: wire.offset_end,
    data: base64Bytes(wire.data),
    observedAt: wire.observed_at,
    createdAt: wire.created_at,
  };
}

export function streamTerminalView(wire: StreamTerminal): WorkspaceStreamTerminal {
  return {
    resourceKind: wire.resource_kind,
    resourceId: wire.resource_id,
    stream: wire.stream,
    state: wire.state,
    cursor: wire.cursor,
    error: wire.error ?? null,
  };
}

function writeMode(mode: unknown, what: string): "write" {
  if (mode === "write") return mode;
  throw new MalformedAnswerError(`The file system mode of ${what} is ${JSON.stringify(mode)}, and this SDK knows "write" only`);
}
