/**
 * Execs and terminals: processes in the machine of a workspace's mount. An exec belongs to its workspace; it is bound to whichever mount becomes
 * mounted first (one of its own, or the one of a run), and ends with it.
 *
 *   exec   materializing (no mount yet) ──bind──▶ queued ──start──▶ running ──end──▶ exited | terminated (by us: time, memory, unmount)
 *   pty    creating ──────────────────────────────start──▶ open ⇄ resizing ──close──▶ closing ──end──▶ closed
 *          any of them ──refuse──▶ failed (it could not be started)     ──lose──▶ lost (its mount went away)
 */
import type { Transitions } from "./transitions.ts";

export const execStates = ["queued", "materializing", "running", "exited", "terminated", "lost", "failed"] as const;
export const ptyStates = ["creating", "open", "resizing", "closing", "closed", "lost", "failed"] as const;
export type ProcessState = (typeof execStates)[number] | (typeof ptyStates)[number];
export type ProcessKind = "exec" | "pty";

export const execTransitions = {
  bind: { from: ["materializing", "queued"], to: "queued" },
  start: { from: ["queued"], to: "running" },
  end: { from: ["queued", "running"], to: "exited" },
  terminate: { from: ["materializing", "queued", "running"], to: "terminated" },
  refuse: { from: ["materializing", "queued"], to: "failed" },
  lose: { from: ["materializing", "queued", "running"], to: "lost" },
} as const satisfies Transitions<(typeof execStates)[number]>;

export const ptyTransitions = {
  start: { from: ["creating"], to: "open" },
  resize: { from: ["open", "resizing"], to: "open" },
  close: { from: ["open", "resizing", "closing"], to: "closing" },
  end: { from: ["creating", "open", "resizing", "closing"], to: "closed" },
  refuse: { from: ["creating", "closing"], to: "failed" },
  lose: { from: ["creating", "open", "resizing", "closing"], to: "lost" },
} as const satisfies Transitions<(typeof ptyStates)[number]>;

export const endedProcessStates = ["exited", "terminated", "lost", "failed", "closed"] as const satisfies readonly ProcessState[];

export const isEnded = (state: ProcessState): boolean => (endedProcessStates as readonly string[]).includes(state);

/** Names of the three streams, as they are stored and shown. */
export const streamNames = {
  exec: { input: "stdin", stdout: "stdout", stderr: "stderr" },
  pty: { input: "input", stdout: "output", stderr: undefined },
} as const;
export type StreamName = "stdin" | "stdout" | "stderr" | "input" | "output";

/** A process that was ended by a signal: its number above 128, as a shell says it. */
const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
};

export interface ProcessEnd {
  exitCode: number | null;
  signal: string | null;
  reason: "exited" | "timeout" | "out_of_memory" | "killed" | "fenced" | "stopped";
}

const reasonTexts: Partial<Record<ProcessEnd["reason"], string>> = {
  timeout: "it used up its time limit",
  out_of_memory: "it ran out of memory",
  fenced: "the machine's lease was not extended in time",
  stopped: "the workspace was unmounted",
};

/** What the wire shows of an end (http §13.2). */
export function decideEnd(kind: ProcessKind, end: ProcessEnd): { state: ProcessState; exitCode: number | null; error: object | null } {
  const text = reasonTexts[end.reason];
  const exitCode = end.exitCode ?? (end.signal === null ? null : 128 + (signalNumbers[end.signal] ?? 0));
  const error = text === undefined ? null : { message: text, reason: end.reason };
  if (kind === "pty") return { state: "closed", exitCode, error };
  const ours = end.reason === "timeout" || end.reason === "fenced" || end.reason === "stopped";
  return { state: ours ? "terminated" : "exited", exitCode, error };
}
