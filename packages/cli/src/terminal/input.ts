/** stdin as a whole. */
import { addAbortSignal } from "node:stream";
import { Failure } from "../failure.ts";
import type { InputStream } from "../host.ts";

const inputBytesMax = 64 * 1024 * 1024;

/** Verbatim; JSON can only carry text, so bytes that are not UTF-8 are refused instead of being replaced. */
export async function readAllText(stdin: InputStream, options: { what: string; signal: AbortSignal }): Promise<string> {
  const pieces: Buffer[] = [];
  let held = 0;
  for await (const piece of addAbortSignal(options.signal, stdin) as AsyncIterable<Buffer | string>) {
    const bytes = typeof piece === "string" ? Buffer.from(piece) : piece;
    held += bytes.length;
    if (held > inputBytesMax) throw new Failure(`${options.what} is larger than ${inputBytesMax} bytes`);
    pieces.push(bytes);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(pieces));
  } catch (error) {
    throw new Failure(`${options.what} is not valid UTF-8 text`, { cause: error });
  }
}
