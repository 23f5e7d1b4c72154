/** The body of a deployment upload (http §9.1): part `metadata`, then part `deployment_source`, in this order. */
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { RequestBody } from "./transport.ts";

export interface UploadSource {
  metadata: object;
  file: string;
  bytes: number;
  /** Called with the bytes that were handed to the connection so far. */
  onProgress?: (sent: number) => void;
}

export function deploymentUpload(source: UploadSource): { contentType: string; body: RequestBody } {
  const boundary = `helmr-${randomBytes(16).toString("hex")}`;
  const head = Buffer.from(
    `--${boundary}\r\ncontent-disposition: form-data; name="metadata"\r\ncontent-type: application/json\r\n\r\n${JSON.stringify(source.metadata)}\r\n` +
      `--${boundary}\r\ncontent-disposition: form-data; name="deployment_source"; filename="source.tar"\r\ncontent-type: application/x-tar\r\n\r\n`,
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  async function* bytes() {
    yield head;
    let sent = 0;
    for await (const piece of createReadStream(source.file) as AsyncIterable<Buffer>) {
      yield piece;
      sent += piece.length;
      source.onProgress?.(sent);
    }
    yield tail;
  }
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    body: { bytes: head.length + source.bytes + tail.length, open: () => Readable.from(bytes(), { objectMode: false }) },
  };
}
