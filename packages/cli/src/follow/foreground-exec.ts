/**
 * A command of a workspace in the foreground (cli §5.6): local stdin goes to it, its stdout and stderr come back while it runs. When either
 * stream reports its end both are read once more from where they stand, then the exec says how it ended.
 *
 * stdin is sent in pieces with exact offsets. When it is a terminal nobody waits for it; otherwise the command is not over before all of
 * stdin is sent. A write that is refused fails the command: at once, or after the last output when it is refused because of the exit.
 */
import type { Exec } from "@helmr/protocol/api";
import { Failure, HttpFailure } from "../failure.ts";
import type { InputStream } from "../host.ts";
import type { ApiClient } from "../http/api-client.ts";
import { isOneOf, terminalExecStates } from "../http/terminal-states.ts";
import type { Output } from "../terminal/output.ts";
import { type ByteReader, drainBytes, followBytes } from "./byte-stream.ts";
import { type ExecAddress, execStream } from "./exec-stream.ts";

const stdinPieceBytes = 4_096;

export interface Foreground {
  api: ApiClient;
  exec: Exec;
  stdin: InputStream;
  out: Output;
  err: Output;
  signal: AbortSignal;
}

/** Returns the ended exec. */
export async function foregroundExec({ api, exec, stdin, out, err, signal }: Foreground): Promise<Exec> {
  const address = { api, workspaceId: exec.workspace_id, execId: exec.id };
  const over = new AbortController();
  const until = AbortSignal.any([signal, over.signal]);
  const sent = sendStdin(address, { stdin, offset: exec.stdin_cursor, signal: until });
  const outputs = followOutputs(address, { out, err, signal: until });
  try {
    await (stdin.isTTY ? Promise.race([outputs, unlessEnded(sent).then(() => outputs)]) : Promise.all([outputs, unlessEnded(sent)]));
    if (!stdin.isTTY) await sent;
  } finally {
    over.abort();
    stdin.destroy();
    await Promise.allSettled([outputs]);
    sent.catch(() => {});
  }
  const { exec: ended } = await api.call("execs.get", { params: { id: exec.workspace_id, execID: exec.id }, signal });
  if (isOneOf(terminalExecStates, ended.state)) return ended;
  throw new Failure(`workspace exec stream ended before terminal state: ${ended.state}`);
}

/** The exit itself refuses writes; that is no reason to lose the output that is still to come. */
async function unlessEnded(sent: Promise<void>): Promise<void> {
  try {
    await sent;
  } catch (error) {
    if (!isExecEnded(error)) throw error;
  }
}

function isExecEnded(error: unknown): boolean {
  return error instanceof HttpFailure && error.code === "workspace_exec_terminal";
}

async function followOutputs(address: ExecAddress, { out, err, signal }: { out: Output; err: Output; signal: AbortSignal }): Promise<void> {
  const ended = new AbortController();
  const until = AbortSignal.any([signal, ended.signal]);
  const streams = (["stdout", "stderr"] as const).map((name) => {
    const output = name === "stdout" ? out : err;
    const reader: ByteReader = { cursor: 0, take: (bytes) => output.write(bytes) };
    return { reader, ...execStream(address, name) };
  });
  const followed = streams.map(({ reader, connect }) => followBytes(reader, { connect, signal: until }));
  try {
    await Promise.race(followed);
  } finally {
    ended.abort();
    await Promise.allSettled(followed);
  }
  for (const { reader, page } of streams) await drainBytes(reader, page);
}

async function sendStdin(
  { api, workspaceId, execId }: ExecAddress,
  from: { stdin: InputStream; offset: number; signal: AbortSignal },
): Promise<void> {
  const params = { id: workspaceId, execID: execId };
  let { offset } = from;
  for await (const bytes of from.stdin as AsyncIterable<Buffer | string>) {
    const read = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    for (let at = 0; at < read.length; at += stdinPieceBytes) {
      const piece = read.subarray(at, at + stdinPieceBytes);
      await api.call("execs.writeStdin", { params, body: { offset, data: piece.toString("base64") }, signal: from.signal });
      offset += piece.length;
    }
  }
  try {
    await api.call("execs.closeStdin", { params, body: {}, signal: from.signal });
  } catch (error) {
    // Everything was sent; that the command did not wait for the end of its input is its own business.
    if (!isExecEnded(error)) throw error;
  }
}
