/** How a run ended, from what is known of its program. Pure: the table of reasons in one place. */
import type { RunEndReason, RunEnded } from "@helmr/protocol/guest";
import type { ProgramEnd } from "../program/pipe.ts";
import type { ProcessExit } from "./tenant-process.ts";

/** Why the supervisor stopped the program. The first cause counts. */
export type StopCause = "cancelled" | "timeout" | "lease_expired";

/** What went wrong before there was a program. */
export interface StartProblem {
  kind: "secrets" | "internal";
  text: string;
}

export interface RunFacts {
  stop: StopCause | undefined;
  problem: StartProblem | undefined;
  exit: ProcessExit | undefined;
  end: ProgramEnd | undefined;
  /** The program broke the rules of its pipe. */
  violation: string | undefined;
  oomKills: number;
  memoryPeakBytes: number | undefined;
  heapLimitBytes: number | undefined;
  diskFull: boolean;
}

export type RunVerdict = Pick<RunEnded, "reason" | "exitCode" | "signal" | "failureKind" | "detail" | "message" | "output">;

const outputJsonCharactersMax = 300_000;

export function judgeRun(facts: RunFacts): RunVerdict {
  const { exit } = facts;
  const status = { exitCode: exit?.kind === "exited" ? exit.code : null, signal: exit?.kind === "exited" ? exit.signal : null };
  if (facts.stop !== undefined) return { reason: facts.stop, ...status };
  if (facts.problem?.kind === "secrets")
    return startFailed({ failureKind: "task_failed", detail: "secret_placement", message: facts.problem.text });
  if (facts.problem !== undefined)
    return {
      reason: "start_failed",
      ...status,
      failureKind: "worker_failed",
      message: `The program could not be started: ${facts.problem.text}`,
    };
  if (exit?.kind === "not_started") return programMissing(exit);
  if (facts.violation !== undefined) {
    return {
      reason: "threw",
      ...status,
      failureKind: "task_failed",
      detail: "program_protocol",
      message: `The program was stopped because it sent ${facts.violation} on its pipe`,
    };
  }
  return judgeProgram(facts, status);
}

function judgeProgram(facts: RunFacts, status: Pick<RunVerdict, "exitCode" | "signal">): RunVerdict {
  const { end } = facts;
  if (end?.outcome === "returned") {
    const json = end.json !== undefined && end.json.length <= outputJsonCharactersMax ? end.json : undefined;
    return { reason: "returned", exitCode: 0, signal: null, ...(json === undefined ? {} : { output: { json } }) };
  }
  if (end?.outcome === "not_started") return startFailed(end, status);
  if (status.signal !== null && outOfMemory(facts, status.signal)) {
    return { reason: "out_of_memory", ...status, message: memorySentence(facts) };
  }
  if (end !== undefined) {
    const { outcome, message } = end;
    const detail = outcome === "threw" ? end.detail : undefined;
    return { reason: fullDisk(facts, outcome), ...status, message, ...(detail === undefined ? {} : { detail }) };
  }
  if (status.signal !== null) return { reason: "signalled", ...status, message: `The task was ended by signal ${status.signal}` };
  if (status.exitCode === 0) return { reason: "exited", ...status, message: "The task called process.exit(0) before run() returned" };
  return { reason: fullDisk(facts, "threw"), ...status, message: `The task exited with code ${status.exitCode}` };
}

function fullDisk(facts: RunFacts, otherwise: RunEndReason): RunEndReason {
  return facts.diskFull ? "disk_full" : otherwise;
}

/** SIGKILL is the kernel's; the engine aborts (SIGABRT, SIGTRAP or SIGILL by version) when its own heap limit is reached. */
function outOfMemory(facts: RunFacts, signal: string): boolean {
  if (signal === "SIGKILL") return facts.oomKills > 0;
  const { heapLimitBytes, memoryPeakBytes } = facts;
  const engineGaveUp = signal === "SIGABRT" || signal === "SIGTRAP" || signal === "SIGILL";
  return engineGaveUp && heapLimitBytes !== undefined && memoryPeakBytes !== undefined && memoryPeakBytes >= heapLimitBytes * 0.9;
}

function memorySentence(facts: RunFacts): string {
  const peak = facts.memoryPeakBytes === undefined ? "" : ` (peak ${Math.round(facts.memoryPeakBytes / 1_048_576)} MiB)`;
  return `The task ran out of memory${peak}; declare more with sandbox.resources({ memory })`;
}

function startFailed(
  failure: { failureKind: NonNullable<RunVerdict["failureKind"]>; detail: NonNullable<RunVerdict["detail"]>; message: string },
  status?: Pick<RunVerdict, "exitCode" | "signal">,
): RunVerdict {
  const { failureKind, detail, message } = failure;
  return { reason: "start_failed", exitCode: status?.exitCode ?? null, signal: status?.signal ?? null, failureKind, detail, message };
}

const noSuchFile = 2;

function programMissing(exit: Extract<ProcessExit, { kind: "not_started" }>): RunVerdict {
  if (exit.stage === "exec" && exit.errno === noSuchFile) {
    return startFailed({
      failureKind: "task_failed",
      detail: "node_missing",
      message: `The image has no node: ${exit.text}. Use an image with Node.js 20 or newer on its PATH`,
    });
  }
  return {
    reason: "start_failed",
    exitCode: null,
    signal: null,
    failureKind: "worker_failed",
    message: `The program could not be started (${exit.stage}): ${exit.text}`,
  };
}
