/** What the SDK in the task's module talks to: calls go to the supervisor and come back as answers (sdk/src/running/port.ts). */
import { getEventListeners } from "node:events";
import type { Socket } from "node:net";
import { RunCallError, type OpenCall, type ProgramCall, type RunRuntime, runRuntimeVersion } from "@helmr/sdk/runtime";
import type { StartMessage, ToProgram } from "./pipe.ts";
import { send } from "./supervisor-pipe.ts";

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class TaskRuntime implements RunRuntime {
  readonly version = runRuntimeVersion;
  readonly run: RunRuntime["run"];
  readonly task: RunRuntime["task"];
  readonly session: RunRuntime["session"];
  readonly workspace: RunRuntime["workspace"];
  private readonly cancellation = new AbortController();
  private readonly waiting = new Map<number, Waiting>();
  private nextCallId = 1;
  private socket: Socket | undefined;

  constructor(start: StartMessage) {
    this.run = start.run;
    this.task = start.task;
    this.session = start.session;
    this.workspace = start.workspace;
  }

  get signal(): AbortSignal {
    return this.cancellation.signal;
  }

  call(call: ProgramCall): OpenCall {
    const callId = this.nextCallId;
    this.nextCallId += 1;
    send({ type: "call", callId, call });
    // The program hears nothing more of these two.
    if (call.kind === "metadata" || call.kind === "wait.cancel") return { callId, answer: Promise.resolve(undefined) };
    const answer = new Promise<unknown>((resolve, reject) => this.waiting.set(callId, { resolve, reject }));
    this.socket?.ref();
    return { callId, answer };
  }

  log(entry: Parameters<RunRuntime["log"]>[0]): void {
    send({ type: "log", ...entry });
  }

  /** From here on answers keep the process alive. */
  connect(socket: Socket): void {
    this.socket = socket;
    if (this.waiting.size > 0) socket.ref();
  }

  take(message: ToProgram): void {
    if (message.type === "cancel")
      this.cancellation.abort(new Error(message.reason === "" ? "The run was cancelled" : `The run was cancelled: ${message.reason}`));
    if (message.type !== "answer") return;
    const waiting = this.waiting.get(message.callId);
    this.waiting.delete(message.callId);
    if (this.waiting.size === 0) this.socket?.unref();
    const { outcome } = message;
    if (outcome.ok) waiting?.resolve(outcome.value);
    else waiting?.reject(new RunCallError(outcome.code, outcome.message));
  }

  /** The event loop is empty: can a cancel still make the task go on? Then the process stays, and this says so. */
  stayForCancel(): boolean {
    if (this.socket === undefined) return false;
    const { signal } = this;
    const derived = Object.getOwnPropertySymbols(signal).some((symbol) => {
      if (!symbol.description?.includes("DependantSignals")) return false;
      return ((signal as unknown as Record<symbol, { size?: number }>)[symbol]?.size ?? 0) > 0;
    });
    if (!derived && getEventListeners(signal, "abort").length === 0) return false;
    this.socket.ref();
    return true;
  }
}
