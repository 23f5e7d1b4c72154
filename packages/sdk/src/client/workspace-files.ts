/** Files and versions of one workspace (sdk §9.7, §13). */
import type {
  FileDiff,
  FileEntry,
  FilePage,
  FileWriteResult,
  TreeUploadResult,
  VersionCaptureResult,
  VersionDiff,
  VersionRestoreResult,
  WorkspaceVersion as WireVersion,
} from "@helmr/protocol/api";
import { DefinitionError } from "../errors.ts";
import { idOf, members } from "./body-members.ts";
import type { WorkspaceDiffSides, WorkspaceFileSourceOptions, WorkspaceFilesApi, WorkspaceVersionsApi } from "./workspace-shapes.ts";
import { diffView, fileDiffView, fileEntryView, fileListView, versionView } from "./workspace-views.ts";
import type { ApiRequest, Query, Transport } from "./transport.ts";

/** `base` is the path of the workspace. */
export function filesApi(transport: Transport, base: string): WorkspaceFilesApi {
  return Object.freeze<WorkspaceFilesApi>({
    async read(path, options = {}) {
      const response = await transport.ok({
        method: "GET",
        path: `${base}/files/content`,
        query: fileQuery(path, options),
        options,
        accept: "application/octet-stream",
      });
      return new Uint8Array(await response.arrayBuffer());
    },
    async list(path = "", options = {}) {
      const query: Query = [...fileQuery(path, options), ["limit", options.limit], ["cursor", options.cursor]];
      return fileListView(await transport.json<FilePage>({ method: "GET", path: `${base}/files`, query, options }));
    },
    async stat(path, options = {}) {
      const { entry } = await transport.json<{ entry: FileEntry }>({
        method: "GET",
        path: `${base}/files/stat`,
        query: fileQuery(path, options),
        options,
      });
      return fileEntryView(entry);
    },
    ...writes(transport, `${base}/files`),
  });
}

type Writes = Pick<WorkspaceFilesApi, "write" | "mkdir" | "move" | "remove" | "upload" | "download">;

/** `path` of the files of a workspace. All of it goes through the guest of its mount. */
function writes(transport: Transport, files: string): Writes {
  const entryOf = async (request: ApiRequest) => fileEntryView((await transport.json<{ entry: FileEntry }>(request)).entry);
  return {
    async write(path, data, options = {}) {
      const query = [
        ["path", path],
        ["mode", options.mode],
      ] as const;
      const bytes = { type: "application/octet-stream", data };
      const written = await transport.json<FileWriteResult>({ method: "PUT", path: `${files}/content`, query, bytes, options });
      return { path: written.path, sizeBytes: written.size_bytes };
    },
    mkdir: (path, options = {}) =>
      entryOf({ method: "POST", path: `${files}/directory`, body: members({ path, mode: options.mode }), options }),
    move: (from, to, options = {}) => entryOf({ method: "POST", path: `${files}/move`, body: { from, to }, options }),
    async remove(path, options = {}) {
      const query = [
        ["path", path],
        ["recursive", options.recursive === true ? 1 : undefined],
      ] as const;
      await transport.empty({ method: "DELETE", path: files, query, options });
    },
    upload: (path, tar, options = {}) =>
      transport.json<TreeUploadResult>({
        method: "PUT",
        path: `${files}/archive`,
        query: [["path", path]],
        bytes: { type: "application/x-tar", data: tar },
        options,
      }),
    async download(path, options = {}) {
      const query = [["path", path]] as const;
      const response = await transport.ok({ method: "GET", path: `${files}/archive`, query, options, accept: "application/x-tar" });
      return new Uint8Array(await response.arrayBuffer());
    },
  };
}

function fileQuery(path: string, options: WorkspaceFileSourceOptions): Query {
  const { source = "current", versionId, materializationId } = options;
  if (source === "version" && versionId === undefined) throw new DefinitionError('source "version" needs a versionId');
  if (source !== "version" && versionId !== undefined) throw new DefinitionError('versionId needs source: "version"');
  if (source !== "live" && materializationId !== undefined) throw new DefinitionError('materializationId needs source: "live"');
  return [
    ["path", path.trim() === "" ? undefined : path],
    ["source", source],
    ["version_id", versionId],
    ["workspace_mount_id", materializationId],
  ];
}

export function versionsApi(transport: Transport, base: string): WorkspaceVersionsApi {
  return Object.freeze<WorkspaceVersionsApi>({
    async retrieve(versionId, options = {}) {
      const path = `${base}/versions/${encodeURIComponent(idOf(versionId, "a version"))}`;
      const { version } = await transport.json<{ version: WireVersion }>({ method: "GET", path, options });
      return versionView(version);
    },
    async list(options = {}) {
      const query = [
        ["kind", options.kind],
        ["limit", options.limit],
      ] as const;
      const { versions } = await transport.json<{ versions: WireVersion[] }>({ method: "GET", path: `${base}/versions`, query, options });
      return versions.map(versionView);
    },
    async capture(options = {}) {
      const { version, is_unchanged, pause_ms, stored_bytes } = await transport.json<VersionCaptureResult>({
        method: "POST",
        path: `${base}/capture`,
        body: members({
          expected_version_id: options.expectedVersionId,
          message: options.message,
          idempotency_key: options.idempotencyKey,
          idempotency_key_ttl: options.idempotencyKeyTtl,
        }),
        options,
      });
      return {
        version: versionView(version),
        isUnchanged: is_unchanged === true,
        ...(pause_ms === undefined ? {} : { pauseMs: pause_ms }),
        ...(stored_bytes === undefined ? {} : { storedBytes: stored_bytes }),
      };
    },
    async restore(versionId, options = {}) {
      const { version } = await transport.json<VersionRestoreResult>({
        method: "POST",
        path: `${base}/restore`,
        body: members({
          version_id: idOf(versionId, "a version"),
          expected_version_id: options.expectedVersionId,
          message: options.message,
        }),
        options,
      });
      return versionView(version);
    },
    async diff(options = {}) {
      const query: Query = [...sidesQuery(options), ["path", options.path], ["limit", options.limit], ["cursor", options.cursor]];
      return diffView(await transport.json<VersionDiff>({ method: "GET", path: `${base}/diff`, query, options }));
    },
    async diffFile(path, options = {}) {
      const query: Query = [...sidesQuery(options), ["path", path]];
      return fileDiffView(await transport.json<FileDiff>({ method: "GET", path: `${base}/diff/file`, query, options }));
    },
  });
}

function sidesQuery({ from, fromWorkspaceId, to }: WorkspaceDiffSides): Query {
  return [
    ["from", from],
    ["from_workspace_id", fromWorkspaceId],
    ["to", to],
  ];
}
