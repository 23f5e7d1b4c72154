/**
 * Contents of live files and whole trees, moved over byte streams (protocol/guest/files.ts). Reads ask the disk only as fast as the host
 * takes; a write is collected in a file beside its target and renamed over it at the end, so nobody ever sees half of it.
 */
import {
  close,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsync,
  openSync,
  read,
  renameSync,
  unlinkSync,
  write,
} from "node:fs";
import { promisify } from "node:util";
import type { FileOperation, GuestFile } from "@helmr/protocol/guest";
import { TarExtractor } from "../tar/extract.ts";
import { packTree } from "../tar/pack.ts";
import type { ConfinedTree, Place } from "./confined-tree.ts";
import { RequestError } from "./host-link.ts";
import type { IncomingStream } from "./incoming-stream.ts";
import { guestLimits } from "./limits.ts";
import { cleanPath, type FileOwner } from "./live-files.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";

const readFd = promisify(read);
const writeFd = promisify(write);
const syncFd = promisify(fsync);
const closeFd = promisify(close);

type Operation<Kind extends FileOperation["kind"]> = Extract<FileOperation, { kind: Kind }>;

let writes = 0;

/** Answers with the facts; the bytes follow on the stream. */
export function readContent(
  tree: ConfinedTree,
  operation: Operation<"read">,
  stream: OutgoingStream,
): { entry: GuestFile; start: number; end: number } {
  const place = tree.locate(operation.path, { followLast: true });
  let fd: number;
  try {
    // Not blocking: a FIFO without a writer would hold the supervisor.
    fd = openSync(place.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } finally {
    place.close();
  }
  const status = fstatSync(fd);
  if (!status.isFile()) {
    closeSync(fd);
    throw new RequestError("not_regular", `${operation.path} is not a regular file`);
  }
  const end = Math.min(operation.end ?? status.size, status.size);
  const start = Math.min(operation.start, end);
  const entry: GuestFile = {
    path: cleanPath(operation.path),
    kind: "file",
    sizeBytes: status.size,
    mode: status.mode & 0o7777,
    modifiedMs: Math.round(status.mtimeMs),
  };
  void sendAndClose(stream, contentOf(fd, start, end), fd);
  return { entry, start, end };
}

async function* contentOf(fd: number, start: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end;) {
    const buffer = Buffer.allocUnsafe(Math.min(end - at, guestLimits.frameDataBytes));
    const { bytesRead } = await readFd(fd, buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw new RequestError("not_found", "The file became shorter while it was read");
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function sendAndClose(stream: OutgoingStream, source: AsyncGenerator<Uint8Array>, fd: number): Promise<void> {
  await send(stream, source);
  closeSync(fd);
}

/** Ends the stream, with the reason when the source fails. */
async function send(stream: OutgoingStream, source: AsyncGenerator<Uint8Array>): Promise<void> {
  try {
    for await (const chunk of source) {
      if (stream.isStopped) break;
      stream.write(chunk);
      await new Promise<void>((resolve) => stream.onRoom(resolve));
    }
    stream.end();
  } catch (error) {
    stream.end((error instanceof Error ? error.message : String(error)).slice(0, 4000));
  }
}

export async function writeContent(
  tree: ConfinedTree,
  operation: Operation<"write">,
  source: { stream: IncomingStream; owner: FileOwner },
): Promise<{ sizeBytes: number }> {
  const target = tree.locate(operation.path, { followLast: true });
  try {
    if (target.name === "") throw new RequestError("not_regular", "The workspace itself is a directory");
    return await replaceFile(target, operation.mode, source);
  } catch (error) {
    source.stream.discard();
    throw error;
  } finally {
    target.close();
  }
}

async function replaceFile(
  target: Place,
  mode: number | undefined,
  source: { stream: IncomingStream; owner: FileOwner },
): Promise<{ sizeBytes: number }> {
  writes += 1;
  const temporary = `/proc/self/fd/${target.directoryFd}/.helmr-write-${process.pid}-${writes}`;
  const fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    const sizeBytes = await copyStream(source.stream, fd);
    fchmodSync(fd, (mode ?? present(target)?.mode ?? 0o644) & 0o777);
    fchownSync(fd, source.owner.uid, source.owner.gid);
    await syncFd(fd);
    renameSync(temporary, target.path);
    return { sizeBytes };
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  } finally {
    await closeFd(fd);
  }
}

function present(target: Place): { mode: number } | undefined {
  try {
    const fd = openSync(target.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      return fstatSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function copyStream(stream: IncomingStream, fd: number): Promise<number> {
  return drain(stream, async (chunk) => {
    for (let at = 0; at < chunk.length;) at += (await writeFd(fd, chunk, at)).bytesWritten;
  });
}

/** Gives every chunk to `take`; resolves with the length at the end. Rejects when the host gave up or `take` failed. */
export function drain(stream: IncomingStream, take: (chunk: Uint8Array) => Promise<void>): Promise<number> {
  let length = 0;
  return new Promise((resolve, reject) => {
    const takeOne = async (chunk: Uint8Array, done: () => void) => {
      try {
        await take(chunk);
        done();
      } catch (error) {
        reject(error);
        stream.discard();
      }
    };
    stream.attach({
      write: (chunk, done) => {
        length += chunk.length;
        void takeOne(chunk, done);
      },
      end: (error) => {
        if (error === undefined) resolve(length);
        else reject(new RequestError("bad_request", `The upload was given up: ${error}`));
      },
    });
  });
}

export interface UploadTarget {
  tree: ConfinedTree;
  path: string;
  owner: FileOwner;
}

export async function uploadTree(target: UploadTarget, stream: IncomingStream): Promise<{ entries: number; bytes: number }> {
  const extractor = new TarExtractor({
    tree: target.tree,
    target: target.path,
    owner: target.owner,
    entriesMax: guestLimits.uploadEntriesMax,
    bytesMax: Number.MAX_SAFE_INTEGER,
  });
  try {
    await drain(stream, (chunk) => extractor.push(chunk));
    extractor.finish();
    return { entries: extractor.entries, bytes: extractor.bytes };
  } catch (error) {
    stream.discard();
    throw error;
  } finally {
    extractor.abort();
  }
}

export function downloadTree(tree: ConfinedTree, path: string, stream: OutgoingStream): void {
  const place = tree.locate(path, { followLast: true });
  let fd: number;
  try {
    fd = openSync(place.path, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } finally {
    place.close();
  }
  const limits = { depthMax: guestLimits.treeDepthMax, directoryEntriesMax: guestLimits.directoryEntriesMax };
  void sendAndClose(stream, packTree(`/proc/self/fd/${fd}/.`, limits), fd);
}
