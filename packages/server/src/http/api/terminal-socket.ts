/**
 * A terminal over one WebSocket. Binary messages are bytes: output down, input up. Text messages are JSON:
 *
 *   down  {"type":"ready","output_cursor":N,"input_cursor":N}   first; output begins at the cursor that was asked for, else with the last screenful
 *         {"type":"end","state":"closed","exit_code":0}          the terminal has ended and all output was sent
 *         {"type":"error","message":"…"}                          a message was not accepted
 *   up    {"type":"resize","cols":120,"rows":40}
 *
 * Input of one socket is written in order, at the stream's present end. Output is read from the store and woken by hints, so a broken connection loses
 * nothing: the next one begins at the last cursor.
 */
import type { WebSocket } from "@fastify/websocket";
import { ptyResizeBody } from "@helmr/protocol/api";
import { type EngineContext, topic } from "../../engine-context.ts";
import { resizePty } from "../../operations/control-exec.ts";
import { type ExecAddress, readExec, readNext } from "../../operations/read-execs.ts";
import { writeInput } from "../../operations/write-input.ts";
import { isRefusal } from "../../outcome.ts";

export interface TerminalSocket {
  context: EngineContext;
  address: ExecAddress;
  cursor: number | undefined;
  onFault: (error: unknown) => void;
}

/** What a reconnecting screen is given when it names no cursor. */
const screenfulBytes = 16 * 1024;
const pageChunks = 32;
const lookAnywayMs = 5_000;
const bufferedBytesMax = 1024 * 1024;
const queuedBytesMax = 1024 * 1024;

export async function attachTerminal(socket: WebSocket, options: TerminalSocket): Promise<void> {
  const { context, address, onFault } = options;
  // What is typed at once stays in the socket until there is somebody to take it.
  socket.pause();
  const pty = await readExec(context, address);
  // It flows again after this turn of the event loop: by then somebody listens.
  socket.resume();
  if (isRefusal(pty)) return socket.close(1008, pty.message.slice(0, 120));
  const say = (message: object) => socket.readyState === socket.OPEN && socket.send(JSON.stringify(message));
  const length = pty.lengths.output ?? 0;
  const from = options.cursor ?? Math.max(0, length - screenfulBytes);
  say({ type: "ready", output_cursor: from, input_cursor: pty.lengths.input ?? 0 });
  receiveInput(socket, options, say);
  await sendOutput(socket, options, { from, say }).catch((error: unknown) => {
    onFault(error);
    socket.close(1011, "attach again");
  });
}

type Say = (message: object) => void;

function receiveInput(socket: WebSocket, { context, address, onFault }: TerminalSocket, say: Say): void {
  let queued: Buffer[] = [];
  let queuedBytes = 0;
  let writing = false;
  async function drain(): Promise<void> {
    if (writing) return;
    writing = true;
    try {
      while (queued.length > 0) {
        const data = Buffer.concat(queued);
        queued = [];
        queuedBytes = 0;
        const written = await writeInput(context, address, { offset: "end", data });
        if (isRefusal(written)) say({ type: "error", message: written.message });
      }
    } catch (error) {
      onFault(error);
      socket.close(1011, "attach again");
    } finally {
      writing = false;
    }
  }
  socket.on("message", (data: Buffer, isBinary: boolean) => {
    if (!isBinary)
      return void resize(context, address, data.toString("utf8")).then(
        (refused) => refused && say({ type: "error", message: refused }),
        onFault,
      );
    queuedBytes += data.length;
    if (queuedBytes > queuedBytesMax) return socket.close(1009, "input is faster than the terminal takes it");
    queued.push(data);
    return void drain();
  });
}

async function resize(context: EngineContext, address: ExecAddress, text: string): Promise<string | undefined> {
  const message = parseResize(text);
  if (message === undefined) return "a text message must be {type: resize, cols, rows}";
  const resized = await resizePty(context, address, message);
  return isRefusal(resized) ? resized.message : undefined;
}

function parseResize(text: string): { cols: number; rows: number } | undefined {
  try {
    const { type, ...size } = JSON.parse(text) as { type?: unknown };
    const parsed = ptyResizeBody.safeParse(size);
    return type === "resize" && parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

async function sendOutput(
  socket: WebSocket,
  { context, address }: TerminalSocket,
  { from, say }: { from: number; say: Say },
): Promise<void> {
  let after = from;
  let wake: (() => void) | undefined;
  let hinted = false;
  const look = () => {
    hinted = true;
    wake?.();
  };
  const unsubscribe = context.hints.subscribe(topic.exec(address.id), look);
  socket.on("close", look);
  try {
    while (socket.readyState === socket.OPEN) {
      hinted = false;
      const next = await readNext(context, address, { name: "output", cursor: after, limit: pageChunks });
      if (isRefusal(next)) {
        say({ type: "error", message: next.message });
        return socket.close(1008, "the cursor is not kept any more");
      }
      const { page, end } = next;
      for (const chunk of page.chunks) socket.send(chunk.data);
      after = page.chunks.at(-1)?.offset_end ?? Math.min(after, page.length);
      if (end) {
        const pty = await readExec(context, address);
        say({
          type: "end",
          state: end.state,
          ...(isRefusal(pty) || pty.exit_code === null ? {} : { exit_code: pty.exit_code }),
          cursor: after,
        });
        return socket.close(1000, "the terminal has ended");
      }
      if (socket.bufferedAmount > bufferedBytesMax) hinted = false;
      else if (hinted || page.chunks.length > 0) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, socket.bufferedAmount > bufferedBytesMax ? 50 : lookAnywayMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      wake = undefined;
    }
  } finally {
    unsubscribe();
  }
}
