/**
 * Live files of the workspace (http §12 with source=live, and the workspace extension), and connections to ports in the guest.
 *
 * Paths are relative to the workspace; `.` is its root. Nothing outside the workspace can be named, symbolic links included: a link is
 * followed only while it stays inside. Contents travel on streams chosen by the host:
 *   read, download   `ok` with the facts, then bytes guest → host, then `stream.end`
 *   write, upload    bytes host → guest, `stream.end`, then `ok`. A write becomes visible at once and whole (rename). An upload is a tar;
 *                    an entry that leaves the target, a device or a hard link ends it there; what came before has been written.
 */
import * as z from "zod";
import { streamId } from "./byte-streams.ts";
import { requestId, text } from "./handshake.ts";

const path = text(4096);
const mode = z.number().int().min(0).max(0o7777);
const position = z.number().int().nonnegative();

export const fileOperation = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("list"),
    path,
    limit: z.number().int().min(1).max(1000),
    after: path.optional(),
  }),
  z.object({ kind: z.literal("stat"), path }),
  /** `end` is exclusive; absent: to the end. */
  z.object({
    kind: z.literal("read"),
    path,
    start: position,
    end: position.optional(),
    stream: streamId,
  }),
  z.object({ kind: z.literal("write"), path, mode: mode.optional(), stream: streamId }),
  z.object({ kind: z.literal("mkdir"), path, mode: mode.optional() }),
  z.object({ kind: z.literal("move"), from: path, to: path }),
  z.object({ kind: z.literal("remove"), path, recursive: z.boolean() }),
  z.object({ kind: z.literal("upload"), path, stream: streamId }),
  z.object({ kind: z.literal("download"), path, stream: streamId }),
]);
export type FileOperation = z.output<typeof fileOperation>;

export const fileRequest = z.object({
  type: z.literal("file"),
  id: requestId,
  operation: fileOperation,
});

export const guestFile = z.object({
  /** Relative to the workspace; bytes that are no UTF-8 are replaced. */
  path,
  kind: z.enum(["file", "directory", "symlink", "other"]),
  sizeBytes: position,
  mode,
  linkTarget: path.optional(),
  modifiedMs: z.number(),
});
export type GuestFile = z.output<typeof guestFile>;

export const fileListResult = z.object({
  entries: z.array(guestFile).max(1000),
  next: path.optional(),
});
export const fileStatResult = z.object({ entry: guestFile });
export const fileReadResult = z.object({ entry: guestFile, start: position, end: position });
export const fileWriteResult = z.object({ sizeBytes: position });
export const fileUploadResult = z.object({ entries: position, bytes: position });

/** A TCP connection to a port of the guest's loopback; `ok` when it is open. `input` is host → guest. */
export const portOpenRequest = z.object({
  type: z.literal("port.open"),
  id: requestId,
  port: z.number().int().min(1).max(65_535),
  input: streamId,
  output: streamId,
});
