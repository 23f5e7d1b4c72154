/**
 * Writing the files of a workspace, and whole trees of it as tar (docs/reference/workspace-extension.md). All of it goes through the guest of the mount,
 * which is started when there is none. Paths are relative to the workspace, as in `files.ts`.
 */
import * as z from "zod";
import { integer } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { count } from "./fields.ts";
import { fileEntryView, workspacePath } from "./files.ts";
import { mountErrors, workspaceParams } from "./workspaces.ts";

/** Decimal, as `files/stat` shows it. */
const mode = z
  .string()
  .regex(/^\d{1,4}$/, "must be permission bits as a decimal number")
  .transform(Number)
  .refine((value) => value <= 0o7777, "must be permission bits as a decimal number, at most 4095")
  .meta({ param: { type: "integer" }, description: "permission bits, as a decimal number" })
  .optional();
const flag = z
  .string()
  .optional()
  .transform((value) => value === "1")
  .meta({ param: { type: "string", enum: ["1"] } });

const writeErrors = ["workspace_file_not_found", "workspace_file_not_regular", "workspace_file_not_directory", ...mountErrors] as const;
const writePermission = "workspace.files.write";
const entryResponse = z.object({ entry: fileEntryView });

export const fileWriteView = z.object({ path: z.string(), size_bytes: count }).meta({ id: "FileWriteResult" });
export type FileWriteResult = z.output<typeof fileWriteView>;
export const treeUploadView = z.object({ path: z.string(), entries: count, bytes: count }).meta({ id: "TreeUploadResult" });
export type TreeUploadResult = z.output<typeof treeUploadView>;

export const liveFileEndpoints = {
  write: endpoint({
    id: "files.write",
    method: "PUT",
    path: "/workspaces/{id}/files/content",
    family: "environment",
    permission: writePermission,
    summary: "Write a file; it becomes visible at once and whole",
    params: workspaceParams,
    query: z.object({ path: workspacePath(), mode }),
    response: fileWriteView,
    statuses: [200],
    errors: writeErrors,
    errorStatuses: [409, 503, 507],
    media: { request: "application/octet-stream" },
    example: { response: { path: "src/main.ts", size_bytes: 512 } },
  }),
  mkdir: endpoint({
    id: "files.mkdir",
    method: "POST",
    path: "/workspaces/{id}/files/directory",
    family: "environment",
    permission: writePermission,
    summary: "Make a directory and those above it that are missing",
    params: workspaceParams,
    body: z.strictObject({ path: workspacePath(), mode: integer(0, 0o7777).optional() }),
    response: entryResponse,
    statuses: [201],
    errors: writeErrors,
    errorStatuses: [409, 503, 507],
    example: { body: { path: "src" }, response: { entry: { path: "src", kind: "directory", size_bytes: 4096, mode: 493 } } },
  }),
  move: endpoint({
    id: "files.move",
    method: "POST",
    path: "/workspaces/{id}/files/move",
    family: "environment",
    permission: writePermission,
    summary: "Move a file or directory inside the workspace; a file that is there is replaced",
    params: workspaceParams,
    body: z.strictObject({ from: workspacePath(), to: workspacePath() }),
    response: entryResponse,
    statuses: [200],
    errors: writeErrors,
    errorStatuses: [409, 503, 507],
    example: { body: { from: "a.txt", to: "b.txt" }, response: { entry: { path: "b.txt", kind: "file", size_bytes: 5, mode: 420 } } },
  }),
  remove: endpoint({
    id: "files.remove",
    method: "DELETE",
    path: "/workspaces/{id}/files",
    family: "environment",
    permission: writePermission,
    summary: "Remove a file, or with recursive=1 a directory and all below it",
    params: workspaceParams,
    query: z.object({ path: workspacePath(), recursive: flag }),
    statuses: [204],
    errors: writeErrors,
    errorStatuses: [409, 503],
  }),
  upload: endpoint({
    id: "files.upload",
    method: "PUT",
    path: "/workspaces/{id}/files/archive",
    family: "environment",
    permission: writePermission,
    summary: "Unpack a tar into a directory",
    params: workspaceParams,
    query: z.object({ path: workspacePath() }),
    response: treeUploadView,
    statuses: [200],
    errors: writeErrors,
    errorStatuses: [409, 503, 507],
    media: { request: "application/x-tar" },
    example: { response: { path: ".", entries: 2, bytes: 512 } },
  }),
  download: endpoint({
    id: "files.download",
    method: "GET",
    path: "/workspaces/{id}/files/archive",
    family: "environment",
    permission: "workspace.files.read",
    summary: "A directory as tar, read through the mount",
    params: workspaceParams,
    query: z.object({ path: workspacePath() }),
    statuses: [200],
    errors: ["workspace_file_not_found", "workspace_file_not_directory", "workspace_not_mounted"],
    errorStatuses: [503],
    media: { response: "application/x-tar" },
  }),
};
