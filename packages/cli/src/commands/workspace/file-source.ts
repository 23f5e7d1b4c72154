/** Which version a command reads, and the walk over the pages of a directory. */
import type { FileEntry } from "@helmr/protocol/api";
import type { ApiClient } from "../../http/api-client.ts";

export type SourceQuery = { source: "version"; version_id: string } | Record<never, never>;

export function sourceQuery(version: string | undefined): SourceQuery {
  return version === undefined ? {} : { source: "version", version_id: version };
}

const pageLimit = 500;

export async function* allEntries(
  api: ApiClient,
  { workspace, path, source }: { workspace: string; path: string; source: SourceQuery },
): AsyncGenerator<FileEntry> {
  for (let cursor: string | undefined; ;) {
    const page = await api.call("files.list", { params: { id: workspace }, query: { path, limit: pageLimit, cursor, ...source } });
    yield* page.entries;
    if (page.next_cursor === undefined) return;
    cursor = page.next_cursor;
  }
}
