/** Execs and terminals of a workspace, and their byte streams (sdk §9.7, §11). */
import type { Json } from "../json-value.ts";
import type { RequestOptions } from "./request-options.ts";

export type WorkspaceExecState = "queued" | "materializing" | "running" | "exited" | "terminated" | "lost" | "failed";
export type WorkspacePtyState = "creating" | "open" | "resizing" | "closing" | "closed" | "lost" | "failed";

export interface WorkspaceExec {
  readonly id: string;
  readonly workspaceId: string;
  readonly materializationId: string | null;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly envShape: Readonly<Record<string, string>>;
  readonly filesystemMode: "write";
  readonly state: WorkspaceExecState;
  readonly detached: boolean;
  readonly processId: string | null;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly error: Json;
  readonly stdoutCursor: number;
  readonly stderrCursor: number;
  readonly stdinCursor: number;
  readonly stdinClosedAt: string | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly exitedAt: string | null;
  readonly updatedAt: string;
}

export interface WorkspacePty {
  readonly id: string;
  readonly workspaceId: string;
  readonly materializationId: string | null;
  readonly cwd: string;
  readonly cols: number;
  readonly rows: number;
  readonly filesystemMode: "write";
  readonly state: WorkspacePtyState;
  readonly processId: string | null;
  /** Of the shell, once it has ended. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly outputCursor: number;
  readonly inputCursor: number;
  readonly error: Json;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly closedAt: string | null;
  readonly updatedAt: string;
}

export interface WorkspaceStreamChunk {
  readonly id: string;
  readonly stream: string;
  readonly offsetStart: number;
  readonly offsetEnd: number;
  readonly data: Uint8Array;
  readonly observedAt: string;
  readonly createdAt: string;
}

export interface WorkspaceStreamTerminal {
  readonly resourceKind: "workspace_exec" | "workspace_pty";
  readonly resourceId: string;
  readonly stream: string;
  readonly state: string;
  readonly cursor: number;
  readonly error: Json;
}

export interface WorkspaceStreamListOptions extends RequestOptions {
  /** Byte offset. */
  readonly cursor?: number;
  readonly limit?: number;
}

export interface WorkspaceStreamFollowOptions extends WorkspaceStreamListOptions {
  /** Without effect: a stream is always followed. */
  readonly follow?: boolean;
}

export interface WorkspaceStreamWriteOptions extends RequestOptions {
  /** The stream's present cursor. */
  readonly offset: number;
}

export interface WorkspaceExecReadableStreamApi {
  /** What is there now. */
  list(options?: WorkspaceStreamListOptions): Promise<readonly WorkspaceStreamChunk[]>;
  /** Until the end; survives lost connections. */
  stream(options?: WorkspaceStreamFollowOptions): AsyncIterable<WorkspaceStreamChunk>;
}
export type WorkspacePtyOutputApi = WorkspaceExecReadableStreamApi;

export interface WorkspaceExecStdinApi {
  write(data: string | Uint8Array, options: WorkspaceStreamWriteOptions): Promise<WorkspaceStreamChunk>;
  close(options?: RequestOptions): Promise<WorkspaceExec>;
}

export interface WorkspaceExecCreateOptions extends RequestOptions {
  /** Absolute; default: the workspace. */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly detached?: boolean;
  readonly idempotencyKey?: string;
  /** The process is killed after so long. */
  readonly timeoutSeconds?: number;
}

export interface WorkspaceExecListOptions extends RequestOptions {
  readonly state?: WorkspaceExecState;
  readonly limit?: number;
}

interface WorkspaceExecWaitOptions extends RequestOptions {
  readonly pollIntervalMs?: number;
}

/** The exec as it was when the handle was made, with what can be done with it. */
export interface WorkspaceExecHandle extends WorkspaceExec {
  retrieve(options?: RequestOptions): Promise<WorkspaceExec>;
  /** Until its state is exited, terminated, lost or failed. */
  wait(options?: WorkspaceExecWaitOptions): Promise<WorkspaceExec>;
  /** To the processes of the exec; `TERM` without a name. */
  kill(signal?: string, options?: RequestOptions): Promise<WorkspaceExec>;
  readonly stdout: WorkspaceExecReadableStreamApi;
  readonly stderr: WorkspaceExecReadableStreamApi;
  readonly stdin: WorkspaceExecStdinApi;
}

export interface WorkspaceExecsApi {
  create(command: readonly string[], options?: WorkspaceExecCreateOptions): Promise<WorkspaceExecHandle>;
  retrieve(execId: string, options?: RequestOptions): Promise<WorkspaceExecHandle>;
  list(options?: WorkspaceExecListOptions): Promise<readonly WorkspaceExec[]>;
}

export interface WorkspacePtyCreateOptions extends RequestOptions {
  readonly cwd?: string;
  readonly cols?: number;
  readonly rows?: number;
  readonly idempotencyKey?: string;
}

export interface WorkspacePtyListOptions extends RequestOptions {
  readonly state?: WorkspacePtyState;
  readonly limit?: number;
}

/** The terminal as it was when the handle was made, with what can be done with it. */
export interface WorkspacePtyHandle extends WorkspacePty {
  retrieve(options?: RequestOptions): Promise<WorkspacePty>;
  readonly output: WorkspacePtyOutputApi;
  input(data: string | Uint8Array, options: WorkspaceStreamWriteOptions): Promise<WorkspaceStreamChunk>;
  resize(cols: number, rows: number, options?: RequestOptions): Promise<WorkspacePty>;
  close(options?: RequestOptions): Promise<WorkspacePty>;
}

export interface WorkspacePtyApi {
  create(options?: WorkspacePtyCreateOptions): Promise<WorkspacePtyHandle>;
  retrieve(ptyId: string, options?: RequestOptions): Promise<WorkspacePtyHandle>;
  list(options?: WorkspacePtyListOptions): Promise<readonly WorkspacePty[]>;
}
