/**
 * The pipe between supervisor and program: frames.ts with messages only, descriptor 3 to the program, descriptor 4 from it. Both halves come
 * from the same substrate, so there are no versions. What the program sends is checked by the supervisor as if it came from the network
 * (supervisor/program-messages.ts).
 *
 *   1. supervisor → program  `start`
 *   2. program → supervisor  `started`   the module is loaded, `run()` is next; or `ended` with `not_started`
 *   3. both                  `call` / `answer`, `log`, `cancel`
 *   4. program → supervisor  `ended`, then the program flushes its output and exits
 */
import type { ProgramAnswer, ProgramCallBody } from "@helmr/protocol/guest";

export interface StartMessage {
  type: "start";
  run: { id: string; attemptId: string; attemptNumber: number; runLeaseId: string };
  task: { id: string };
  session: { id: string };
  workspace: { path: string; projectPath: string };
  /** Absolute path of the compiled module. */
  module: string;
  exportName: string;
  payload: unknown;
}

export type ToProgram =
  | StartMessage
  | { type: "answer"; callId: number; outcome: ProgramAnswer["outcome"] }
  | { type: "cancel"; reason: string };

export type ProgramEnd =
  | { outcome: "returned"; json?: string }
  /** The stack is on stderr; `message` is its first line. */
  | { outcome: "threw"; detail?: "payload_invalid" | "output_invalid"; message: string }
  /** Nothing is left in the event loop that could make run() return. */
  | { outcome: "stalled"; message: string }
  | {
      outcome: "not_started";
      failureKind: "task_failed" | "task_not_found" | "task_parse_failed";
      detail: "node_too_old" | "module_missing" | "dependency_missing" | "module_failed";
      message: string;
    };

export interface LogMessage {
  type: "log";
  level: "info" | "warn" | "error";
  message: string;
  fields?: Record<string, unknown>;
  at: string;
}

export type FromProgram =
  | { type: "started"; node: string; bootMs: number; loadMs: number }
  | { type: "call"; callId: number; call: ProgramCallBody }
  | LogMessage
  | { type: "ended"; end: ProgramEnd };

export const inputFd = 3;
export const outputFd = 4;
