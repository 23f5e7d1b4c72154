/** Runs a command line inside the test process, with streams and environment of its own. */
import { PassThrough } from "node:stream";
import type { Host, InputStream, OutputStream } from "../host.ts";
import { runCli } from "../program.ts";

export interface CliRun {
  env?: Record<string, string>;
  cwd?: string;
  home?: string;
  stdin?: string | Uint8Array | InputStream;
  /** A terminal of this size in the place of stdout and stderr. */
  terminal?: { columns: number; rows: number };
  signal?: AbortSignal;
  /** Sees stdout while it is written. */
  onOutput?: (text: string) => void;
}

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

export async function runInProcess(argv: readonly string[], run: CliRun = {}): Promise<CliResult> {
  const out = collector(run);
  const err = collector(run);
  const host: Host = {
    env: run.env ?? {},
    cwd: run.cwd ?? process.cwd(),
    platform: process.platform,
    homeDirectory: run.home ?? "/nonexistent",
    stdin: inputOf(run.stdin ?? ""),
    stdout: out.stream,
    stderr: err.stream,
    signal: run.signal ?? new AbortController().signal,
  };
  if (run.onOutput) out.stream.on("data", (bytes: Buffer) => run.onOutput?.(bytes.toString()));
  const code = await runCli(host, argv);
  return { code, stdout: out.text(), stderr: err.text() };
}

function inputOf(stdin: string | Uint8Array | InputStream): InputStream {
  if (typeof stdin !== "string" && !(stdin instanceof Uint8Array)) return stdin;
  const stream = new PassThrough();
  stream.end(stdin);
  return stream;
}

function collector(run: CliRun): { stream: PassThrough & OutputStream; text(): string } {
  const stream: PassThrough & OutputStream = new PassThrough();
  const pieces: Buffer[] = [];
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  if (run.terminal) Object.assign(stream, { isTTY: true, ...run.terminal });
  return { stream, text: () => Buffer.concat(pieces).toString("utf8") };
}
