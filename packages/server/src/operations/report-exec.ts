/**
 * What a worker says of an exec over its channel (protocol/worker/live.ts): started, output, ended. Each is accepted once; a repeat is answered as the
 * first was, a gap in the output with the offset that is expected. Locks the exec, then its stream.
 */
import { limits } from "@helmr/protocol/shared";
import type { ExecAnswer, ExecReport } from "@helmr/protocol/worker";
import { decideEnd, execTransitions, isEnded, ptyTransitions, type StreamName, streamNames } from "../domain/exec.ts";
import { storableText } from "../domain/storable.ts";
import type { Tx } from "../store/db.ts";
import {
  byteChunkAppend,
  byteChunkList,
  byteChunkTrim,
  byteStreamGet,
  byteStreamLock,
  byteStreamSetDelivered,
  execEnd,
  execHeld,
  execStart,
  type HeldExec,
} from "../store/exec.ts";
import { mountNoteIdle } from "../store/mount.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import type { WorkerActor } from "../worker-actor.ts";
import { inputMessage, split } from "./write-input.ts";

const staleAnswer = { state: "stale" } as const;
const ok = { state: "ok" } as const;

export async function reportExec(context: EngineContext, worker: WorkerActor, said: ExecReport): Promise<ExecAnswer> {
  const { report } = said;
  const params = { exec_id: said.exec_id, lease_id: said.lease_id, worker_id: worker.workerId, fence: said.fence };
  return context.db.tx(async (tx): Promise<ExecAnswer> => {
    const exec = await execHeld(tx, params);
    if (!exec) return staleAnswer;
    const announce = () => context.hints.send(topic.exec(exec.id));
    switch (report.kind) {
      case "started":
        await execStart(tx, exec.id, storableText(report.process_id), startedState(exec));
        tx.afterCommit(announce);
        return ok;
      case "output":
        if (isEnded(exec.state)) return staleAnswer;
        return appendOutput(tx, { context, exec }, { ...report, data: Buffer.from(report.data, "base64") });
      case "input":
        return giveInput(tx, { context, worker, said, exec }, report.from);
      case "delivered":
        await byteStreamSetDelivered(tx, exec.id, streamNames[exec.kind].input, report.offset);
        return ok;
      default:
        return endExec(tx, { context, exec }, report);
    }
  });
}

/** A terminal that is being closed already stays so. */
function startedState(exec: HeldExec) {
  if (exec.kind === "exec") return execTransitions.start.to;
  return exec.state === "closing" ? ptyTransitions.close.to : ptyTransitions.start.to;
}

interface Subject {
  context: EngineContext;
  exec: HeldExec;
}

async function appendOutput(
  tx: Tx,
  { context, exec }: Subject,
  part: { stream: "stdout" | "stderr"; offset: number; data: Buffer },
): Promise<ExecAnswer> {
  const name: StreamName | undefined = streamNames[exec.kind][part.stream];
  if (name === undefined) return staleAnswer;
  const stream = await byteStreamLock(tx, exec.id, name);
  if (!stream) return staleAnswer;
  if (part.offset > stream.length) return { state: "gap", expected: stream.length };
  // What is known came before its answer was lost; the guest sends it again from where it was acknowledged.
  const fresh = part.data.subarray(Math.min(part.data.length, stream.length - part.offset));
  if (fresh.length === 0) return { state: "ok", offset: stream.length };
  const length = stream.length + fresh.length;
  await byteChunkAppend(tx, { execId: exec.id, name, length, chunks: split(stream.length, fresh) });
  if (length - stream.earliest > limits.byteStreamRetainedBytes + trimSlackBytes)
    await byteChunkTrim(tx, exec.id, name, length - limits.byteStreamRetainedBytes);
  tx.afterCommit(() => context.hints.send(topic.exec(exec.id)));
  return { state: "ok", offset: length };
}

/** Trimming is done now and then, not with every chunk. */
const trimSlackBytes = 4 * 1024 * 1024;
const inputPage = 64;

/** The bytes follow as messages of their own; the worker asks again when more than a page is there. */
async function giveInput(
  tx: Tx,
  { context, worker, said, exec }: Subject & { worker: WorkerActor; said: ExecReport },
  from: number | null,
): Promise<ExecAnswer> {
  const name = streamNames[exec.kind].input;
  const stream = await byteStreamGet(tx, exec.id, name);
  if (!stream) return staleAnswer;
  const offset = Math.max(stream.earliest, from ?? stream.delivered);
  const rows = offset >= stream.length ? [] : await byteChunkList(tx, exec.id, name, { from: offset, limit: inputPage });
  tx.afterCommit(() => {
    const link = context.live.link(worker.workerId);
    for (const row of rows) link?.push(inputMessage(said.lease_id, exec.id, { start: row.offset_start, data: row.data }));
  });
  return { state: "ok", offset };
}

type Ended = Extract<ExecReport["report"], { kind: "ended" | "start_failed" }>;

async function endExec(tx: Tx, { context, exec }: Subject, report: Ended): Promise<ExecAnswer> {
  if (isEnded(exec.state)) return ok;
  if (report.kind === "start_failed") {
    await execEnd(tx, exec.id, { state: "failed", exitCode: null, signal: null, error: { message: storableText(report.message) } });
  } else {
    for (const stream of ["stdout", "stderr"] as const) {
      const name = streamNames[exec.kind][stream];
      const length = name === undefined ? 0 : ((await byteStreamGet(tx, exec.id, name))?.length ?? 0);
      if (name !== undefined && length < report[stream]) return { state: "gap", expected: length };
    }
    const end = decideEnd(exec.kind, { exitCode: report.exit_code, signal: report.signal, reason: report.reason });
    // Ended with its machine: whoever has it open reads what the machine went for.
    const stopped = report.reason === "stopped" && exec.stop_reason !== null;
    const error = stopped ? { message: `the workspace was unmounted: ${exec.stop_reason}`, reason: report.reason } : end.error;
    await execEnd(tx, exec.id, { ...end, error, signal: report.signal });
  }
  await mountNoteIdle(tx, exec.workspace_id, context.mounts.idleMs);
  tx.afterCommit(() => {
    context.hints.send(topic.exec(exec.id));
    context.hints.send(topic.reconcile("stop-idle-mounts"));
    context.gates.release({ workspaceId: exec.workspace_id });
  });
  return ok;
}
