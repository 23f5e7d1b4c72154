/**
 * Files of a mounted workspace, through its guest (http §12 with source=live; docs/reference/workspace-extension.md for what writes). The reads are
 * handed to the routes of files.ts, which choose by `source`.
 */
import { type Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type FileEntry, type FilePage, fileHeaders, liveFileEndpoints } from "@helmr/protocol/api";
import { type GuestFile, fileListResult, fileReadResult, fileStatResult, fileUploadResult, fileWriteResult } from "@helmr/protocol/guest";
import type { FastifyReply, FastifyRequest } from "fastify";
import type * as z from "zod";
import type { EngineContext } from "../../engine-context.ts";
import { liveRefusal, openLiveCall, type LiveFileOperation, type LiveStream, type LiveTarget } from "../../operations/open-live.ts";
import { isRefusal, refusal, type Refusal } from "../../outcome.ts";
import { parseRange } from "../byte-range.ts";
import type { Answer, Routes } from "../route.ts";
import type { LiveFiles } from "./files.ts";

type ReadTarget = Omit<LiveTarget, "writes">;

async function listLive(
  context: EngineContext,
  target: ReadTarget,
  query: { path: string; cursor: string | undefined; limit: number },
): Promise<FilePage | Refusal> {
  const operation = {
    kind: "list" as const,
    path: query.path,
    limit: query.limit,
    ...(query.cursor === undefined ? {} : { after: query.cursor }),
  };
  const result = await ask(context, { ...target, writes: false }, { operation, schema: fileListResult });
  if (isRefusal(result)) return result;
  const entries = result.entries
    .flatMap((entry) => entryView(entry) ?? [])
    .map((entry) => ({ ...entry, name: entry.path.split("/").at(-1) as string }));
  return { path: query.path, entries, ...(result.next === undefined ? {} : { next_cursor: result.next }) };
}

async function statLive(context: EngineContext, target: ReadTarget, path: string): Promise<FileEntry | Refusal> {
  const result = await ask(context, { ...target, writes: false }, { operation: { kind: "stat", path }, schema: fileStatResult });
  if (isRefusal(result)) return result;
  return entryView(result.entry) ?? refusal(422, "it is neither a file, a directory nor a symbolic link", "workspace_file_not_regular");
}

async function readLive(
  context: EngineContext,
  target: ReadTarget,
  { path, request, reply }: { path: string; request: FastifyRequest; reply: FastifyReply },
): Promise<Answer<never> | Refusal> {
  const whole = await statLive(context, target, path);
  if (isRefusal(whole)) return whole;
  if (whole.kind === "directory") return liveRefusal({ code: "not_regular", message: `${path} is a directory` });
  const range = parseRange(request.headers.range, whole.size_bytes);
  if (range === "unsatisfiable") {
    void reply.code(416).header("content-range", `bytes */${whole.size_bytes}`).send();
    return { streamed: true };
  }
  const operation = { kind: "read" as const, path, start: range?.start ?? 0, ...(range ? { end: range.endExclusive } : {}) };
  const opened = await open(context, { ...target, writes: false }, { operation, schema: fileReadResult });
  if (isRefusal(opened)) return opened;
  const { entry, start, end } = opened.result;
  reply
    .code(range ? 206 : 200)
    .header("content-type", "application/octet-stream")
    .header("content-length", String(end - start))
    .header("accept-ranges", "bytes")
    .header(fileHeaders.path, encodeURI(path))
    .header(fileHeaders.size, String(entry.sizeBytes))
    .header(fileHeaders.mode, String(entry.mode))
    // A guest wrote it: no browser may take it for a page of ours.
    .header("x-content-type-options", "nosniff")
    .header("content-disposition", "attachment");
  if (range) reply.header("content-range", `bytes ${start}-${end - 1}/${entry.sizeBytes}`);
  opened.stream.end();
  void reply.send(opened.stream);
  return { streamed: true };
}

/** `source=live` of the routes of files.ts. */
export function liveFiles(context: EngineContext): LiveFiles {
  const target = ({
    scope,
    params,
    query,
  }: {
    scope: { environmentId: string };
    params: { id: string };
    query: { workspace_mount_id?: string | undefined };
  }) => ({
    environmentId: scope.environmentId,
    workspaceId: params.id,
    mountId: query.workspace_mount_id,
  });
  return {
    async list(input) {
      const page = await listLive(context, target(input), { path: input.query.path, cursor: input.query.cursor, limit: input.query.limit });
      return isRefusal(page) ? page : { body: page };
    },
    async stat(input) {
      const entry = await statLive(context, target(input), input.query.path);
      return isRefusal(entry) ? entry : { body: { entry } };
    },
    content: (input) => readLive(context, target(input), { path: input.query.path, request: input.request, reply: input.reply }),
  };
}

export function addLiveFileRoutes(routes: Routes, context: EngineContext): void {
  const target = (scope: { environmentId: string }, params: { id: string }): LiveTarget => ({
    environmentId: scope.environmentId,
    workspaceId: params.id,
    writes: true,
  });

  routes.add(liveFileEndpoints.write, async ({ scope, params, query, request }) => {
    const operation = { kind: "write" as const, path: query.path, ...(query.mode === undefined ? {} : { mode: query.mode }) };
    const written = await send(context, target(scope, params), { operation, schema: fileWriteResult, source: request.raw });
    return isRefusal(written) ? written : { body: { path: query.path, size_bytes: written.sizeBytes } };
  });

  routes.add(liveFileEndpoints.upload, async ({ scope, params, query, request }) => {
    const operation = { kind: "upload" as const, path: query.path };
    const unpacked = await send(context, target(scope, params), { operation, schema: fileUploadResult, source: request.raw });
    return isRefusal(unpacked) ? unpacked : { body: { path: query.path, entries: unpacked.entries, bytes: unpacked.bytes } };
  });

  routes.add(liveFileEndpoints.download, async ({ scope, params, query, reply }) => {
    const stream = await openLiveCall(
      context,
      { ...target(scope, params), writes: false },
      fileCall({ kind: "download", path: query.path }),
    );
    if (isRefusal(stream)) return stream;
    const opened = await stream.opened;
    if (!opened.ok) return liveRefusal(opened);
    stream.end();
    void reply.header("content-type", "application/x-tar").send(stream);
    return { streamed: true };
  });

  routes.add(liveFileEndpoints.mkdir, async ({ scope, params, body }) => {
    const segments = body.path.split("/");
    for (let depth = 1; depth < segments.length; depth += 1) {
      const above = { kind: "mkdir" as const, path: segments.slice(0, depth).join("/") };
      const made = await perform(context, target(scope, params), above);
      if (isRefusal(made)) return made;
      if (!made.ok && made.code !== "exists") return liveRefusal(made);
    }
    const operation = { kind: "mkdir" as const, path: body.path, ...(body.mode === undefined ? {} : { mode: body.mode }) };
    return describe(context, target(scope, params), { operation, path: body.path, status: 201 });
  });

  routes.add(liveFileEndpoints.move, async ({ scope, params, body }) =>
    describe(context, target(scope, params), { operation: { kind: "move", ...body }, path: body.to, status: 200 }),
  );

  routes.add(liveFileEndpoints.remove, async ({ scope, params, query }) => {
    const operation = { kind: "remove" as const, path: query.path, recursive: query.recursive };
    const removed = await perform(context, target(scope, params), operation);
    if (isRefusal(removed)) return removed;
    return removed.ok ? { status: 204 } : liveRefusal(removed);
  });
}

const fileCall = (operation: LiveFileOperation) => ({ kind: "file" as const, operation });

/** Without bytes in either direction. */
async function perform(context: EngineContext, target: LiveTarget, operation: LiveFileOperation) {
  const stream = await openLiveCall(context, target, fileCall(operation));
  if (isRefusal(stream)) return stream;
  const opened = await stream.opened;
  stream.destroy();
  return opened;
}

interface Asked<T extends z.ZodType> {
  operation: LiveFileOperation;
  schema: T;
}

async function open<T extends z.ZodType>(
  context: EngineContext,
  target: LiveTarget,
  { operation, schema }: Asked<T>,
): Promise<{ stream: LiveStream; result: z.output<T> } | Refusal> {
  const stream = await openLiveCall(context, target, fileCall(operation));
  if (isRefusal(stream)) return stream;
  const opened = await stream.opened;
  if (!opened.ok) return liveRefusal(opened);
  const result = schema.safeParse(opened.result);
  if (result.success) return { stream, result: result.data };
  stream.destroy();
  return refusal(502, "the guest's answer is not what its protocol says");
}

async function ask<T extends z.ZodType>(context: EngineContext, target: LiveTarget, asked: Asked<T>): Promise<z.output<T> | Refusal> {
  const opened = await open(context, target, asked);
  if (isRefusal(opened)) return opened;
  opened.stream.destroy();
  return opened.result;
}

/** The guest answers when it has all bytes, or earlier when it refuses them. */
async function send<T extends z.ZodType>(
  context: EngineContext,
  target: LiveTarget,
  { operation, schema, source }: Asked<T> & { source: Readable },
): Promise<z.output<T> | Refusal> {
  const stream = await openLiveCall(context, target, fileCall(operation));
  if (isRefusal(stream)) {
    source.resume();
    return stream;
  }
  const sending = pipeline(source, upTo(stream)).then(
    () => stream.end(),
    () => stream.destroy(),
  );
  const opened = await stream.opened;
  // A refusal comes before all bytes were taken: the rest of the body is read and dropped.
  if (!opened.ok) {
    source.unpipe();
    source.resume();
    return liveRefusal(opened);
  }
  await sending;
  stream.destroy();
  const result = schema.safeParse(opened.result);
  return result.success ? result.data : refusal(502, "the guest's answer is not what its protocol says");
}

/** Ends with the source, not with the other half of the stream, which stays open for the answer. */
function upTo(stream: LiveStream): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      if (stream.destroyed) done(new TypeError("the call is over"));
      else stream.write(chunk, (error) => done(error));
    },
  });
}

async function describe(
  context: EngineContext,
  target: LiveTarget,
  { operation, path, status }: { operation: LiveFileOperation; path: string; status: number },
): Promise<Answer<{ entry: FileEntry }> | Refusal> {
  const done = await perform(context, target, operation);
  if (isRefusal(done)) return done;
  if (!done.ok) return liveRefusal(done);
  const entry = await statLive(context, target, path);
  return isRefusal(entry) ? entry : { status, body: { entry } };
}

/** Devices, sockets and pipes are not shown. */
function entryView(file: GuestFile): FileEntry | undefined {
  if (file.kind === "other") return undefined;
  return {
    path: file.path,
    kind: file.kind,
    size_bytes: file.sizeBytes,
    mode: file.mode,
    ...(file.linkTarget === undefined ? {} : { link_target: file.linkTarget }),
    mod_time: new Date(Math.max(0, Math.min(file.modifiedMs, 8.64e15))).toISOString().replace(/\.?0+Z$/, "Z"),
  };
}
