/** Workspaces, their mounts, versions and files, as the client gives them (sdk §9.7, §11). */
import type { JsonObject } from "../json-value.ts";
import type { WorkspaceExecCreateOptions, WorkspaceExecHandle, WorkspaceExecsApi, WorkspacePtyApi } from "./exec-shapes.ts";
import type { RequestOptions } from "./request-options.ts";

export type WorkspaceState = "active" | "deleting" | "recovery_required" | "archived" | "deleted";
export type WorkspaceDesiredState = "active" | "stopped" | "archived" | "deleted";
export type WorkspaceDirtyState = "clean" | "dirty" | "capturing" | "capture_failed" | "dirty_state_lost";

export interface Workspace {
  readonly id: string;
  readonly projectId: string;
  readonly environmentId: string;
  readonly deploymentSandboxId: string;
  readonly sandboxId: string;
  readonly sandboxFingerprint: string;
  readonly externalId?: string;
  readonly currentVersionId: string | null;
  readonly state: WorkspaceState;
  readonly desiredState: WorkspaceDesiredState;
  readonly dirtyState: WorkspaceDirtyState;
  readonly lastMaterializationId: string | null;
  readonly metadata: JsonObject;
  readonly tags: readonly string[];
  readonly autoStopAt: string | null;
  readonly autoArchiveAt: string | null;
  readonly autoDeleteAt: string | null;
  readonly lastActivityAt: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly archivedAt: string | null;
  readonly deletedAt: string | null;
}

/** A workspace attached to a machine. */
export interface WorkspaceMaterialization {
  readonly id: string;
  readonly projectId: string;
  readonly environmentId: string;
  readonly workspaceId: string;
  readonly deploymentSandboxId: string;
  readonly baseVersionId: string | null;
  readonly workerInstanceId: string | null;
  /** `requested`, `mounting`, `mounted`, `unmounting`, `unmounted`, `lost` or `failed`. */
  readonly state: string;
  readonly fencingGeneration: number;
  readonly dirtyGeneration: number;
  readonly reservationExpiresAt: string | null;
  readonly lastHeartbeatAt: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface WorkspaceStopResult {
  readonly workspaceId: string;
  /** Of the materialization, or `no_active_mount`. */
  readonly state: string;
  readonly materialization: WorkspaceMaterialization | null;
}

export interface WorkspaceFileEntry {
  readonly path: string;
  readonly name: string | null;
  readonly kind: "file" | "directory" | "symlink";
  readonly sizeBytes: number;
  readonly mode: number;
  readonly linkTarget: string | null;
  readonly modTime: string | null;
}

export interface WorkspaceFileList {
  readonly path: string;
  readonly entries: readonly WorkspaceFileEntry[];
  readonly nextCursor: string | null;
}

export interface WorkspaceVersion {
  readonly id: string;
  readonly workspaceId: string;
  readonly parentVersionId: string | null;
  readonly kind: "user" | "system";
  readonly state: "capturing" | "artifact_verified" | "ready" | "failed" | "deleted";
  readonly contentDigest: string;
  readonly sizeBytes: number;
  readonly artifactEncoding: string;
  readonly artifactEntryCount: number;
  readonly message: string;
  readonly promotedAt: string | null;
  readonly createdAt: string;
}

export interface WorkspaceCreateOptions extends RequestOptions {
  readonly sandboxId: string;
  /** Default: the current one. */
  readonly deploymentId?: string;
  readonly externalId?: string;
  readonly metadata?: JsonObject;
  readonly tags?: readonly string[];
  readonly idempotencyKey?: string;
  readonly idempotencyKeyTTL?: string;
}

export interface WorkspaceRetrieveOptions extends RequestOptions {}

export interface WorkspaceListOptions extends RequestOptions {
  readonly state?: WorkspaceState;
  readonly externalId?: string;
  readonly tag?: string;
  readonly limit?: number;
}

export interface WorkspaceUpdateOptions extends RequestOptions {
  readonly metadata?: JsonObject;
  readonly tags?: readonly string[];
}

export interface WorkspaceMaterializeOptions extends RequestOptions {}

export interface WorkspaceStopOptions extends RequestOptions {
  readonly idempotencyKey?: string;
  readonly idempotencyKeyTTL?: string;
}

/** Which state of the files: the current version, another one, or the live mount. */
export type WorkspaceFileSourceOptions =
  | { readonly source?: "current"; readonly versionId?: undefined; readonly materializationId?: undefined }
  | { readonly source: "version"; readonly versionId: string; readonly materializationId?: undefined }
  | { readonly source: "live"; readonly materializationId?: string; readonly versionId?: undefined };

export type WorkspaceFileReadOptions = RequestOptions & WorkspaceFileSourceOptions;
export type WorkspaceFileStatOptions = RequestOptions & WorkspaceFileSourceOptions;
export type WorkspaceFileListOptions = RequestOptions & WorkspaceFileSourceOptions & { readonly limit?: number; readonly cursor?: string };

export interface WorkspaceFilesApi {
  read(path: string, options?: WorkspaceFileReadOptions): Promise<Uint8Array>;
  /** Direct children; without a path those of the workspace itself. */
  list(path?: string, options?: WorkspaceFileListOptions): Promise<WorkspaceFileList>;
  stat(path: string, options?: WorkspaceFileStatOptions): Promise<WorkspaceFileEntry>;
  /** Through the mount, which is started when there is none; the file becomes visible at once and whole. */
  write(path: string, data: string | Uint8Array, options?: WorkspaceFileWriteOptions): Promise<{ path: string; sizeBytes: number }>;
  /** With the directories above it that are missing. */
  mkdir(path: string, options?: WorkspaceFileWriteOptions): Promise<WorkspaceFileEntry>;
  move(from: string, to: string, options?: RequestOptions): Promise<WorkspaceFileEntry>;
  remove(path: string, options?: WorkspaceFileRemoveOptions): Promise<void>;
  /** Unpacks a tar into a directory. */
  upload(path: string, tar: Uint8Array, options?: RequestOptions): Promise<{ path: string; entries: number; bytes: number }>;
  /** A directory as tar; the workspace must be mounted. */
  download(path: string, options?: RequestOptions): Promise<Uint8Array>;
}

export interface WorkspaceFileWriteOptions extends RequestOptions {
  /** Permission bits. */
  readonly mode?: number;
}

export interface WorkspaceFileRemoveOptions extends RequestOptions {
  /** A directory with all below it. */
  readonly recursive?: boolean;
}

export interface WorkspaceVersionListOptions extends RequestOptions {
  readonly kind?: "user" | "system";
  readonly limit?: number;
}

export interface WorkspaceCaptureOptions extends RequestOptions {
  /** Refuse when the current version is another one. */
  expectedVersionId?: string;
  /** What the list of versions says about it. */
  message?: string;
  idempotencyKey?: string;
  idempotencyKeyTtl?: string;
}

export interface WorkspaceCapture {
  version: WorkspaceVersion;
  /** Nothing was written since this version, which was the current one already. */
  isUnchanged: boolean;
  /** How long what writes to the workspace had to wait. */
  pauseMs?: number;
  /** What was uploaded, compressed. */
  storedBytes?: number;
}

export interface WorkspaceRestoreOptions extends RequestOptions {
  /** Refuse when the current version is another one. */
  readonly expectedVersionId?: string;
  readonly message?: string;
}

/** Which versions are compared: by default the current one with its parent. */
export interface WorkspaceDiffSides {
  readonly from?: string;
  /** The workspace of `from`, when it is another one: a fork against its origin. */
  readonly fromWorkspaceId?: string;
  readonly to?: string;
}
export type WorkspaceDiffOptions = RequestOptions &
  WorkspaceDiffSides & { readonly path?: string; readonly limit?: number; readonly cursor?: string };

export interface WorkspaceTreeChange {
  readonly path: string;
  readonly change: "added" | "removed" | "changed";
  readonly before: WorkspaceFileEntry | null;
  readonly after: WorkspaceFileEntry | null;
}

export interface WorkspaceDiff {
  /** Null: compared with the empty tree. */
  readonly fromVersionId: string | null;
  readonly toVersionId: string;
  readonly path: string;
  readonly changes: readonly WorkspaceTreeChange[];
  readonly nextCursor: string | null;
}

export interface WorkspaceFileDiff {
  readonly fromVersionId: string | null;
  readonly toVersionId: string;
  readonly path: string;
  readonly change: "added" | "removed" | "changed" | "unchanged";
  readonly format: "text" | "binary" | "too_large";
  /** A unified diff; null when the file is no text or too large. */
  readonly unified: string | null;
}

export interface WorkspaceVersionsApi {
  retrieve(versionId: string, options?: RequestOptions): Promise<WorkspaceVersion>;
  list(options?: WorkspaceVersionListOptions): Promise<readonly WorkspaceVersion[]>;
  /** A new current version with the content of an old one. */
  /** Makes a version of what is in the workspace now, while its machine and all that runs in it go on. */
  capture(options?: WorkspaceCaptureOptions): Promise<WorkspaceCapture>;
  restore(versionId: string, options?: WorkspaceRestoreOptions): Promise<WorkspaceVersion>;
  /** Files that differ between two versions. */
  diff(options?: WorkspaceDiffOptions): Promise<WorkspaceDiff>;
  /** One file of two versions as text. */
  diffFile(path: string, options?: RequestOptions & WorkspaceDiffSides): Promise<WorkspaceFileDiff>;
}

export interface WorkspaceForkOptions extends RequestOptions {
  /** Default: the current one. */
  readonly versionId?: string;
  readonly externalId?: string;
  readonly metadata?: JsonObject;
  readonly tags?: readonly string[];
  readonly idempotencyKey?: string;
  readonly idempotencyKeyTTL?: string;
}

type WorkspaceAddress = string | { readonly id: string };

export interface WorkspacesApi {
  create(options: WorkspaceCreateOptions): Promise<Workspace>;
  /** No request. */
  open(workspace: WorkspaceAddress): WorkspaceHandle;
  retrieve(workspace: WorkspaceAddress, options?: WorkspaceRetrieveOptions): Promise<Workspace>;
  list(options?: WorkspaceListOptions): Promise<readonly Workspace[]>;
  update(workspace: WorkspaceAddress, options: WorkspaceUpdateOptions): Promise<Workspace>;
  delete(workspace: WorkspaceAddress, options?: RequestOptions): Promise<Workspace>;
  /** Attaches it to a machine; repeat until the state is `mounted`. */
  materialize(workspace: WorkspaceAddress, options?: WorkspaceMaterializeOptions): Promise<WorkspaceMaterialization>;
  connect(workspace: WorkspaceAddress, options?: WorkspaceMaterializeOptions): Promise<WorkspaceMaterialization>;
  stop(workspace: WorkspaceAddress, options?: WorkspaceStopOptions): Promise<WorkspaceStopResult>;
  /** A new workspace that begins with the content of a version; nothing is copied. */
  fork(workspace: WorkspaceAddress, options?: WorkspaceForkOptions): Promise<Workspace>;
}

export interface WorkspaceHandle {
  readonly id: string;
  retrieve(options?: WorkspaceRetrieveOptions): Promise<Workspace>;
  update(options: WorkspaceUpdateOptions): Promise<Workspace>;
  delete(options?: RequestOptions): Promise<Workspace>;
  materialize(options?: WorkspaceMaterializeOptions): Promise<WorkspaceMaterialization>;
  connect(options?: WorkspaceMaterializeOptions): Promise<WorkspaceMaterialization>;
  stop(options?: WorkspaceStopOptions): Promise<WorkspaceStopResult>;
  fork(options?: WorkspaceForkOptions): Promise<Workspace>;
  /** Starts a program; mounts the workspace if needed. */
  exec(command: readonly string[], options?: WorkspaceExecCreateOptions): Promise<WorkspaceExecHandle>;
  readonly execs: WorkspaceExecsApi;
  readonly pty: WorkspacePtyApi;
  readonly files: WorkspaceFilesApi;
  readonly versions: WorkspaceVersionsApi;
}
