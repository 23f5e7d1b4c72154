/** What is asked of an exec or a terminal while it runs: signals, another size, its end. The worker is told by its channel; repeats are safe. */
import { isEnded, type ProcessState, ptyTransitions } from "../domain/exec.ts";
import { type Refusal, refuse } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import {
  type ExecAddress,
  execCloseStdin,
  execGet,
  execLock,
  execResize,
  type ExecRow,
  execSetState,
  execSignal,
  type LockedExec,
} from "../store/exec.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { noExec } from "./read-execs.ts";

/** Locks the exec, acts, wakes its worker and its followers, and answers with what it is then. */
async function change(
  context: EngineContext,
  address: ExecAddress,
  act: (tx: Tx, exec: LockedExec) => Promise<Refusal | undefined>,
): Promise<ExecRow | Refusal> {
  return context.db.tx(async (tx) => {
    const exec = await execLock(tx, address);
    if (!exec) return noExec(address.kind);
    const refused = await act(tx, exec);
    if (refused) return refused;
    tx.afterCommit(() => {
      if (exec.worker_id !== null) context.hints.send(topic.worker(exec.worker_id));
      context.hints.send(topic.exec(exec.id));
    });
    return (await execGet(tx, address)) ?? noExec(address.kind);
  });
}

const canPty = (event: keyof typeof ptyTransitions, state: ProcessState) =>
  (ptyTransitions[event].from as readonly ProcessState[]).includes(state);

export const signalExec = (context: EngineContext, address: ExecAddress, signal: string) =>
  change(context, address, async (tx, exec) => {
    if (isEnded(exec.state)) return refuse("workspace_exec_terminal");
    // Nothing runs yet: there is nobody to signal.
    if (exec.state === "materializing") await execSetState(tx, exec.id, "terminated");
    else await execSignal(tx, exec.id, signal);
    return undefined;
  });

/** Idempotent, also after its end. */
export const closeStdin = (context: EngineContext, address: ExecAddress) =>
  change(context, address, async (tx, exec) => {
    if (exec.stdin_closed_at !== null) return undefined;
    if (isEnded(exec.state)) return refuse("workspace_exec_terminal");
    await execCloseStdin(tx, exec.id);
    return undefined;
  });

export const resizePty = (context: EngineContext, address: ExecAddress, size: { cols: number; rows: number }) =>
  change(context, address, async (tx, exec) => {
    if (!canPty("resize", exec.state)) return refuse("workspace_pty_not_open", `the terminal is ${exec.state}`);
    await execResize(tx, exec.id, size);
    return undefined;
  });

export const closePty = (context: EngineContext, address: ExecAddress) =>
  change(context, address, async (tx, exec) => {
    if (isEnded(exec.state)) return refuse("workspace_pty_terminal");
    if (!canPty("close", exec.state)) return refuse("workspace_pty_not_open", "the terminal is not open yet");
    await execSetState(tx, exec.id, ptyTransitions.close.to);
    return undefined;
  });
