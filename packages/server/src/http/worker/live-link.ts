/**
 * The live half of a worker's channel (protocol/worker/live.ts): reports of execs in, answers and input out, live calls in both directions. One per
 * connection; when it ends every live call ends with it. Reports of one exec are taken in the order they came.
 */
import type { WebSocket } from "@fastify/websocket";
import { type ChannelMessage, liveFrame, type LiveRequest, liveUpMessage, type LiveUpMessage, readLiveFrame } from "@helmr/protocol/worker";
import type { EngineContext } from "../../engine-context.ts";
import type { LiveLink } from "../../live.ts";
import { LiveStream, type LiveWire } from "../../live-stream.ts";
import { reportExec } from "../../operations/report-exec.ts";
import type { WorkerActor } from "../../worker-actor.ts";

export interface LiveConnection {
  link: LiveLink;
  received(data: Buffer, isBinary: boolean): void;
  close(): void;
}

export interface LiveConnectionOptions {
  context: EngineContext;
  worker: WorkerActor;
  send: (message: ChannelMessage) => void;
  onFault: (error: unknown) => void;
}

const callsMax = 256;

export function openLiveConnection(socket: WebSocket, { context, worker, send, onFault }: LiveConnectionOptions): LiveConnection {
  const calls = new Map<number, LiveStream>();
  /** The last report of each exec that is being taken. */
  const reports = new Map<string, Promise<void>>();
  let nextCall = 0;
  const wire: LiveWire = {
    send,
    bytes: (call, data) => socket.readyState === socket.OPEN && socket.send(liveFrame(call, data)),
    over: (call) => calls.delete(call),
  };

  async function take({ id, report }: Extract<LiveUpMessage, { type: "report" }>): Promise<void> {
    try {
      send({ type: "answer", id, answer: await reportExec(context, worker, report) });
    } catch (error) {
      // It is not answered: the worker says it again when it has connected again.
      onFault(error);
      socket.close(1011, "say it again");
    }
  }

  function receive(message: LiveUpMessage): void {
    if (message.type === "report") {
      const exec = message.report.exec_id;
      const turn = (reports.get(exec) ?? Promise.resolve()).then(() => take(message));
      reports.set(exec, turn);
      void turn.finally(() => reports.get(exec) === turn && reports.delete(exec));
      return;
    }
    const stream = calls.get(message.call);
    switch (message.type) {
      case "live.opened":
        return stream?.openedWith(message.result);
      case "live.failed":
        return stream?.fail(message.code, message.message);
      case "live.end":
        return stream?.ended(message.error);
      case "live.credit":
        return stream?.credited(message.bytes);
      default:
        return stream?.cut("the worker gave up");
    }
  }

  return {
    link: {
      push: send,
      open(leaseId: string, request: LiveRequest) {
        nextCall = (nextCall % 0xffff_fffe) + 1;
        const stream = new LiveStream(nextCall, wire);
        if (calls.size >= callsMax || socket.readyState !== socket.OPEN) {
          stream.cut(calls.size >= callsMax ? `${callsMax} live calls are open already` : "the worker's channel is closed");
          return stream;
        }
        calls.set(nextCall, stream);
        send({ type: "live.open", call: nextCall, lease_id: leaseId, request });
        return stream;
      },
    },
    received(data, isBinary) {
      if (isBinary) {
        const frame = readLiveFrame(data);
        if (frame) calls.get(frame.call)?.received(frame.data);
        return;
      }
      const parsed = liveUpMessage.safeParse(tryJson(data.toString("utf8")));
      // What a newer worker says beyond this is not for this server.
      if (parsed.success) receive(parsed.data);
    },
    close() {
      for (const stream of calls.values()) stream.cut("the worker's channel was lost");
    },
  };
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
