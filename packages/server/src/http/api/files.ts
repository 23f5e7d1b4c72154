/** Files of a workspace (http §12): of a version here, live ones (`source=live`) through whoever has the mounts. */
import { fileEndpoints, type FileEntry, fileHeaders, type FilePage, type ParamsOf, type QueryOf } from "@helmr/protocol/api";
import {
  type FileContent,
  listFiles,
  openFileContent,
  statFile,
  type TreesContext,
  type VersionAddress,
} from "../../operations/read-files.ts";
import { isRefusal, type Refusal, refuse } from "../../outcome.ts";
import { parseRange } from "../byte-range.ts";
import type { Answer, Input, Routes } from "../route.ts";
import { entryView } from "./file-view.ts";

type FileInput<E> = Pick<Input<ParamsOf<E>, QueryOf<E>, unknown>, "scope" | "params" | "query" | "request" | "reply">;

/** `source=live`: the mounted state, read through the guest. The part with the mounts gives it. */
export interface LiveFiles {
  list(input: FileInput<typeof fileEndpoints.list>): Promise<Answer<FilePage> | Refusal>;
  stat(input: FileInput<typeof fileEndpoints.stat>): Promise<Answer<{ entry: FileEntry }> | Refusal>;
  content(input: FileInput<typeof fileEndpoints.content>): Promise<Answer<never> | Refusal>;
}

const notMounted = () => Promise.resolve(refuse("workspace_not_mounted"));
const nothingLive: LiveFiles = { list: notMounted, stat: notMounted, content: notMounted };

export function addFileRoutes(routes: Routes, context: TreesContext, live: LiveFiles = nothingLive): void {
  routes.add(fileEndpoints.list, async (input) => {
    const { query } = input;
    if (query.source === "live") return live.list(input);
    const page = await listFiles(context, addressOf(input), { path: query.path, after: query.cursor, limit: query.limit });
    if (isRefusal(page)) return page;
    const last = page.entries.at(-1);
    return {
      body: {
        path: query.path,
        entries: page.entries.map((entry) => ({ ...entryView(entry), name: entry.name })),
        ...(page.more && last ? { next_cursor: last.path } : {}),
      },
    };
  });

  routes.add(fileEndpoints.stat, async (input) => {
    if (input.query.source === "live") return live.stat(input);
    const entry = await statFile(context, addressOf(input), input.query.path);
    return isRefusal(entry) ? entry : { body: { entry: entryView(entry) } };
  });

  routes.add(fileEndpoints.content, async (input) => {
    if (input.query.source === "live") return live.content(input);
    const content = await openFileContent(context, addressOf(input), input.query.path);
    return isRefusal(content) ? content : sendContent(input, content);
  });
}

interface Addressed {
  scope: { environmentId: string };
  params: { id: string };
  query: { version_id?: string | undefined };
}

function addressOf({ scope, params, query }: Addressed): VersionAddress {
  return { environmentId: scope.environmentId, workspaceId: params.id, versionId: query.version_id };
}

function sendContent(
  { request, reply, query }: Pick<FileInput<typeof fileEndpoints.content>, "request" | "reply" | "query">,
  content: FileContent,
) {
  const size = content.entry.sizeBytes;
  reply
    .header(fileHeaders.versionId, content.versionId)
    // Header values are Latin-1: what is not plain text of a path is percent-encoded.
    .header(fileHeaders.path, encodeURI(query.path))
    .header(fileHeaders.size, String(size))
    .header(fileHeaders.mode, String(content.entry.mode))
    .header("accept-ranges", "bytes")
    // A guest wrote it: no browser may take it for a page of ours.
    .header("x-content-type-options", "nosniff")
    .header("content-disposition", "attachment");
  const range = parseRange(request.headers.range, size);
  if (range === "unsatisfiable") {
    void reply.code(416).header("content-range", `bytes */${size}`).send();
    return { streamed: true } as const;
  }
  const { start, endExclusive: end } = range ?? { start: 0, endExclusive: size };
  if (range) reply.code(206).header("content-range", `bytes ${start}-${end - 1}/${size}`);
  void reply
    .header("content-type", "application/octet-stream")
    .header("content-length", String(end - start))
    .send(content.bytes({ start, end }));
  return { streamed: true } as const;
}
