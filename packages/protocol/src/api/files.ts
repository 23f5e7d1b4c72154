/** Reading the files of a workspace (http §12): of a version, or live through the mount. */
import * as z from "zod";
import { type ErrorCode, limitQuery, oneOf, plainText, textProblem, uuidValue } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { count, exampleTime, timestamp } from "./fields.ts";
import { workspaceParams } from "./workspaces.ts";

export const fileSources = ["current", "version", "live"] as const;
export type FileSource = (typeof fileSources)[number];

export const fileEntryView = z
  .object({
    path: z.string(),
    name: z.string().optional().meta({ description: "only in lists" }),
    kind: z.enum(["file", "directory", "symlink"]),
    size_bytes: count,
    mode: z.int(),
    link_target: z.string().optional(),
    mod_time: timestamp.optional(),
  })
  .meta({ id: "FileEntry" });
export type FileEntry = z.output<typeof fileEntryView>;

export const filePageView = z
  .object({ path: z.string(), entries: z.array(fileEntryView), next_cursor: z.string().optional() })
  .meta({ id: "FilePage" });
export type FilePage = z.output<typeof filePageView>;

/** What is wrong with a path inside a workspace, as a predicate. */
export function workspacePathProblem(path: string): string | undefined {
  if (path.startsWith("/")) return "must be relative to the workspace, without a leading /";
  if (path.split("/").includes("..")) return "must not contain ..";
  return textProblem(path);
}

/** Without empty and `.` segments; the workspace itself is `.`. */
export function normalWorkspacePath(path: string): string {
  const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".");
  return segments.length === 0 ? "." : segments.join("/");
}

function pathText() {
  return z.string("path is required").superRefine((path, context) => {
    const problem = workspacePathProblem(path);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  });
}

/** Required, in its normal form. */
export const workspacePath = () =>
  pathText()
    .refine((path) => path !== "", "path is required")
    .transform(normalWorkspacePath);

const source = {
  source: oneOf(fileSources).default("current"),
  version_id: uuidValue().optional(),
  workspace_mount_id: uuidValue().optional(),
};

interface SourceQuery {
  source: FileSource;
  version_id?: string;
  workspace_mount_id?: string;
}

function checkSource(query: SourceQuery, context: z.core.$RefinementCtx): void {
  const refuse = (code: ErrorCode, message: string) => context.addIssue({ code: "custom", message, params: { code } });
  if (query.source === "version" && query.version_id === undefined) {
    refuse("workspace_version_id_required", "version_id is required with source=version");
  }
  if (query.source !== "version" && query.version_id !== undefined) {
    refuse("workspace_version_id_unexpected", "version_id is accepted only with source=version");
  }
  if (query.source !== "live" && query.workspace_mount_id !== undefined) {
    refuse("workspace_mount_id_unexpected", "workspace_mount_id is accepted only with source=live");
  }
}

export const fileListQuery = z
  .object({
    path: pathText().default(".").transform(normalWorkspacePath),
    ...source,
    cursor: plainText().optional().meta({ description: "the last path of the page before" }),
    limit: limitQuery(500, 200),
  })
  .superRefine(checkSource);
export const fileQuery = z.object({ path: workspacePath(), ...source }).superRefine(checkSource);

const fileErrors = [
  "workspace_file_not_found",
  "workspace_no_current_version",
  "workspace_version_not_readable",
  "workspace_version_id_required",
  "workspace_version_id_unexpected",
  "workspace_mount_id_unexpected",
  "workspace_not_mounted",
] as const;

const exampleEntry: FileEntry = { path: "src/main.ts", kind: "file", size_bytes: 512, mode: 420, mod_time: exampleTime };

/** Headers of the content route. */
export const fileHeaders = {
  versionId: "x-helmr-workspace-version-id",
  path: "x-helmr-workspace-file-path",
  size: "x-helmr-workspace-file-size",
  mode: "x-helmr-workspace-file-mode",
} as const;

export const fileEndpoints = {
  list: endpoint({
    id: "files.list",
    method: "GET",
    path: "/workspaces/{id}/files",
    family: "environment",
    permission: "workspace.files.read",
    summary: "List the direct children of a directory",
    params: workspaceParams,
    query: fileListQuery,
    response: filePageView,
    statuses: [200],
    errors: [...fileErrors, "workspace_file_not_directory"],
    example: { response: { path: "src", entries: [{ ...exampleEntry, name: "main.ts" }] } },
  }),
  stat: endpoint({
    id: "files.stat",
    method: "GET",
    path: "/workspaces/{id}/files/stat",
    family: "environment",
    permission: "workspace.files.read",
    summary: "Describe a file, directory or symbolic link",
    params: workspaceParams,
    query: fileQuery,
    response: z.object({ entry: fileEntryView }),
    statuses: [200],
    errors: fileErrors,
    example: { response: { entry: exampleEntry } },
  }),
  content: endpoint({
    id: "files.content",
    method: "GET",
    path: "/workspaces/{id}/files/content",
    family: "environment",
    permission: "workspace.files.read",
    summary: "Read a file; Range is honoured",
    params: workspaceParams,
    query: fileQuery,
    statuses: [200, 206],
    errors: [...fileErrors, "workspace_file_not_regular"],
    errorStatuses: [416],
    media: { response: "application/octet-stream" },
    responseHeaders: {
      [fileHeaders.versionId]: "the version that was read; absent for source=live",
      [fileHeaders.path]: "the path inside the workspace",
      [fileHeaders.size]: "size of the whole file in bytes",
      [fileHeaders.mode]: "permission bits, as a decimal number",
    },
  }),
};
