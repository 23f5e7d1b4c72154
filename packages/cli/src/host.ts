/** What a command sees of the process it runs in. Tests give their own streams and environment; nothing else reads `process`. */
import type { Readable, Writable } from "node:stream";

export interface InputStream extends Readable {
  isTTY?: boolean;
  setRawMode?(on: boolean): unknown;
}

export interface OutputStream extends Writable {
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

export interface Host {
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  platform: NodeJS.Platform;
  homeDirectory: string;
  stdin: InputStream;
  stdout: OutputStream;
  stderr: OutputStream;
  /** Aborted by the first interrupt: the command ends with exit code 1. */
  signal: AbortSignal;
}

export function environmentValue(host: Host, name: string): string {
  return (host.env[name] ?? "").trim();
}
