/**
 * A terminal of a workspace attached to the local one (cli §5.6).
 *
 * Owns the local terminal while it lasts: raw mode, the listener for size changes, stdin. All of it is undone when the session ends,
 * however it ends. Output is followed from a cursor and input is written at an offset, so a broken connection is resumed without loss: an
 * input that may have arrived is sent again as it was, which the server answers with the stored one.
 */
import type { Pty } from "@helmr/protocol/api";
import { pause } from "../clock.ts";
import { Failure, HttpFailure, SilentExit } from "../failure.ts";
import type { Host, InputStream } from "../host.ts";
import type { ApiClient } from "../http/api-client.ts";
import { isOneOf, terminalPtyStates } from "../http/terminal-states.ts";
import type { Output } from "../terminal/output.ts";
import { type ByteReader, followBytes } from "./byte-stream.ts";
import { isTransient, reconnectMs } from "./event-stream.ts";

const inputPieceBytes = 4_096;
/** A key that cannot be delivered for so long ends the session: Ctrl-C is a key too, so there is no other way out of a raw terminal. */
const undeliverableMs = 60_000;
/** Opening takes as long as mounting; a terminal that is not open yet takes no input. */
const openPollMs = 100;
/** A cell may cost several bytes, because colours and characters beyond ASCII do. */
const bytesPerCell = 4;

interface Attachment {
  api: ApiClient;
  pty: Pty;
  /** Begin with the last screenful instead of with nothing. */
  replay: boolean;
  host: Host;
  out: Output;
}

export function terminalSize(out: Output): { cols: number; rows: number } {
  const { cols, rows } = out.size ?? { cols: 80, rows: 24 };
  return { cols: Math.min(cols, 500), rows: Math.min(rows, 500) };
}

/** Returns the ended terminal. */
export async function attach({ api, pty, replay, host, out }: Attachment): Promise<Pty> {
  const params = { id: pty.workspace_id, ptyID: pty.id };
  const over = new AbortController();
  const signal = AbortSignal.any([host.signal, over.signal]);
  const screenful = pty.cols * pty.rows * bytesPerCell;
  const reader: ByteReader = { cursor: replay ? Math.max(0, pty.output_cursor - screenful) : 0, take: (bytes) => out.write(bytes) };
  const connect = (cursor: string, until: AbortSignal) =>
    api.events("ptys.output", { params, query: { follow: 1, cursor }, signal: until });
  const release = takeTerminal(host.stdin);
  const ignoreResize = followSize({ api, params, out, signal });
  try {
    const output = followBytes(reader, { connect, signal });
    const input = sendInput({ api, params, offset: pty.input_cursor, stdin: host.stdin, signal }).catch((error: unknown) => {
      // A key pressed while the shell was ending.
      if (!isRefused(error, "workspace_pty_terminal")) throw error;
    });
    input.catch(() => {});
    // A refused input fails the session, the end of the output ends it; the end of the input alone does neither.
    await Promise.race([output, input.then(() => output)]);
  } finally {
    over.abort();
    ignoreResize();
    release();
  }
  const { pty: ended } = await api.call("ptys.get", { params });
  return ended;
}

/** The exit code of the session is the shell's, where the server tells it. */
export function exitAsShell(pty: Pty): void {
  if (pty.state === "lost" || pty.state === "failed") throw new Failure(`workspace terminal ended in state ${pty.state}`);
  if (!isOneOf(terminalPtyStates, pty.state)) throw new Failure(`workspace terminal stream ended before terminal state: ${pty.state}`);
  const code = (pty as Pty & { exit_code?: number | null }).exit_code;
  if (typeof code === "number" && code !== 0) throw new SilentExit(code & 0xff || 1);
}

function takeTerminal(stdin: InputStream): () => void {
  if (stdin.isTTY !== true || stdin.setRawMode === undefined) return () => stdin.destroy();
  stdin.setRawMode(true);
  return () => {
    stdin.setRawMode?.(false);
    stdin.destroy();
  };
}

interface Address {
  api: ApiClient;
  params: { id: string; ptyID: string };
  signal: AbortSignal;
}

/** Only the last size matters: while one is on its way, newer ones replace each other. */
function followSize({ api, params, out, signal }: Address & { out: Output }): () => void {
  let wanted: { cols: number; rows: number } | undefined;
  let busy = false;
  const send = async () => {
    busy = true;
    while (wanted !== undefined && !signal.aborted) {
      const body = wanted;
      wanted = undefined;
      // A terminal that is just opening or ending has no use for a size; the next change brings the present one.
      await api.call("ptys.resize", { params, body, signal }).catch(() => {});
    }
    busy = false;
  };
  return out.onResize(() => {
    wanted = terminalSize(out);
    if (!busy) void send();
  });
}

async function sendInput({ api, params, offset, stdin, signal }: Address & { offset: number; stdin: InputStream }): Promise<void> {
  let at = offset;
  for await (const bytes of stdin as AsyncIterable<Buffer | string>) {
    const read = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    for (let from = 0; from < read.length; from += inputPieceBytes) {
      const piece = read.subarray(from, from + inputPieceBytes);
      at = await writeInput({ api, params, signal }, { piece, offset: at });
    }
  }
  await closeTerminal({ api, params, signal });
}

/** Local input may end before the terminal is open; it is closed once it is. */
async function closeTerminal({ api, params, signal }: Address): Promise<void> {
  while (!signal.aborted) {
    try {
      await api.call("ptys.close", { params, body: {}, signal });
      return;
    } catch (error) {
      if (isRefused(error, "workspace_pty_terminal")) return;
      if (!isRefused(error, "workspace_pty_not_open")) throw error;
      const { pty } = await api.call("ptys.get", { params, signal });
      if (isOneOf(terminalPtyStates, pty.state)) return;
      await pause(openPollMs, signal);
    }
  }
}

/** Returns the offset behind what was written. */
async function writeInput({ api, params, signal }: Address, input: { piece: Buffer; offset: number }): Promise<number> {
  const data = input.piece.toString("base64");
  const until = Date.now() + undeliverableMs;
  for (let { offset } = input; ;) {
    try {
      const chunk = await api.call("ptys.input", { params, body: { offset, data }, signal });
      return chunk.offset_end;
    } catch (error) {
      if (isTransient(error) && Date.now() < until) {
        await pause(reconnectMs, signal);
      } else if (isRefused(error, "workspace_stream_offset_conflict")) {
        // Somebody else types into the same terminal: go on behind them.
        const { pty } = await api.call("ptys.get", { params, signal });
        if (pty.input_cursor === offset) throw error;
        offset = pty.input_cursor;
      } else if (isRefused(error, "workspace_pty_not_open")) {
        await pause(openPollMs, signal);
      } else {
        throw error;
      }
    }
  }
}

function isRefused(error: unknown, ...codes: string[]): boolean {
  return error instanceof HttpFailure && codes.includes(error.code ?? "");
}
