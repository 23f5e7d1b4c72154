/** The workspace extension's part about versions (docs/reference/workspace-extension.md): capture, restore, fork, diff. */
import * as z from "zod";
import { durationText, externalId, idempotencyKey, jsonObject, limitQuery, plainText, tags, uuidValue } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id } from "./fields.ts";
import { fileEntryView, normalWorkspacePath, workspacePathProblem } from "./files.ts";
import { exampleVersion, exampleWorkspace, versionView, workspaceCreateView, workspaceParams } from "./workspaces.ts";

const message = plainText().pipe(z.string().max(1_000, "must have at most 1000 characters"));

export const versionCaptureBody = z.strictObject({
  expected_version_id: uuidValue().optional().meta({ description: "refuse when the current version is another one" }),
  message: message.optional(),
  idempotency_key: idempotencyKey().optional(),
  idempotency_key_ttl: durationText().optional().meta({ description: "default 24h" }),
});
export type VersionCaptureBody = z.output<typeof versionCaptureBody>;
export type VersionCaptureInput = z.input<typeof versionCaptureBody>;

export const versionCaptureView = z
  .object({
    version: versionView,
    is_unchanged: z.literal(true).optional(),
    pause_ms: z.number().optional().meta({ description: "how long what writes to the workspace had to wait" }),
    stored_bytes: z.number().int().optional().meta({ description: "what was uploaded, compressed" }),
  })
  .meta({ id: "VersionCaptureResult" });
export type VersionCaptureResult = z.output<typeof versionCaptureView>;

export const versionRestoreBody = z.strictObject({
  version_id: uuidValue(),
  expected_version_id: uuidValue().optional().meta({ description: "refuse when the current version is another one" }),
  message: message.optional(),
});
export type VersionRestoreBody = z.output<typeof versionRestoreBody>;
export type VersionRestoreInput = z.input<typeof versionRestoreBody>;

export const versionRestoreView = z
  .object({ version: versionView, is_unchanged: z.literal(true).optional() })
  .meta({ id: "VersionRestoreResult" });
export type VersionRestoreResult = z.output<typeof versionRestoreView>;

export const workspaceForkBody = z.strictObject({
  version_id: uuidValue().optional().meta({ description: "default: the current version" }),
  external_id: externalId().optional(),
  metadata: jsonObject().default({}),
  tags: tags().default([]),
  idempotency_key: idempotencyKey().optional(),
  idempotency_key_ttl: durationText().optional().meta({ description: "default 24h" }),
});
export type WorkspaceForkBody = z.output<typeof workspaceForkBody>;
export type WorkspaceForkInput = z.input<typeof workspaceForkBody>;

export const treeChangeView = z
  .object({
    path: z.string(),
    change: z.enum(["added", "removed", "changed"]),
    before: fileEntryView.optional(),
    after: fileEntryView.optional(),
  })
  .meta({ id: "TreeChange" });
export type TreeChange = z.output<typeof treeChangeView>;

const compared = { from_version_id: id.optional().meta({ description: "absent: the empty tree" }), to_version_id: id };

export const versionDiffView = z
  .object({ ...compared, path: z.string(), changes: z.array(treeChangeView), next_cursor: z.string().optional() })
  .meta({ id: "VersionDiff" });
export type VersionDiff = z.output<typeof versionDiffView>;

export const fileDiffView = z
  .object({
    ...compared,
    path: z.string(),
    change: z.enum(["added", "removed", "changed", "unchanged"]),
    format: z.enum(["text", "binary", "too_large"]),
    unified: z.string().optional().meta({ description: "a unified diff; only with format text" }),
  })
  .meta({ id: "FileDiff" });
export type FileDiff = z.output<typeof fileDiffView>;

function pathText() {
  return z.string("path is required").superRefine((path, context) => {
    const problem = workspacePathProblem(path);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  });
}

const sides = {
  from: uuidValue().optional().meta({ description: "version; default: the parent of `to`" }),
  from_workspace_id: uuidValue()
    .optional()
    .meta({ description: "the workspace of `from`, when it is another one: a fork against its origin" }),
  to: uuidValue().optional().meta({ description: "version; default: the current one" }),
};

function checkSides(query: { from?: string; from_workspace_id?: string }, context: z.core.$RefinementCtx): void {
  if (query.from_workspace_id !== undefined && query.from === undefined)
    context.addIssue({ code: "custom", message: "from_workspace_id needs from" });
}

const diffErrors = ["workspace_no_current_version", "workspace_version_not_readable", "workspace_file_not_found"] as const;
const exampleEntry = { path: "src/main.ts", kind: "file" as const, size_bytes: 512, mode: 420, mod_time: exampleTime };

export const versionChangeEndpoints = {
  capture: endpoint({
    id: "versions.capture",
    method: "POST",
    path: "/workspaces/{id}/capture",
    family: "environment",
    permission: "workspace.versions.capture",
    summary: "Make a version of what is in the workspace now, while its machine goes on",
    params: workspaceParams,
    body: versionCaptureBody,
    response: versionCaptureView,
    statuses: [201, 200],
    errors: [
      "workspace_not_active",
      "workspace_mount_active",
      "workspace_head_moved",
      "idempotency_fingerprint_mismatch",
      "coordination_unavailable",
    ],
    example: {
      body: { message: "before the upgrade" },
      response: { version: { ...exampleVersion, id: exampleId.other, kind: "user" }, pause_ms: 14.2, stored_bytes: 81_920 },
    },
  }),
  restore: endpoint({
    id: "versions.restore",
    method: "POST",
    path: "/workspaces/{id}/restore",
    family: "environment",
    permission: "workspace.versions.restore",
    summary: "Make the content of an old version the current one, as a new version",
    params: workspaceParams,
    body: versionRestoreBody,
    response: versionRestoreView,
    statuses: [201, 200],
    errors: ["workspace_not_active", "workspace_mount_active", "workspace_version_not_ready", "workspace_head_moved"],
    example: { body: { version_id: exampleId.version }, response: { version: { ...exampleVersion, id: exampleId.other, kind: "user" } } },
  }),
  diff: endpoint({
    id: "versions.diff",
    method: "GET",
    path: "/workspaces/{id}/diff",
    family: "environment",
    permission: "workspace.versions.diff",
    summary: "Files that differ between two versions",
    params: workspaceParams,
    query: z
      .object({
        ...sides,
        path: pathText().default(".").transform(normalWorkspacePath),
        cursor: plainText().optional().meta({ description: "the last path of the page before" }),
        limit: limitQuery(500, 200),
      })
      .superRefine(checkSides),
    response: versionDiffView,
    statuses: [200],
    errors: diffErrors,
    example: {
      response: {
        from_version_id: exampleId.version,
        to_version_id: exampleId.other,
        path: ".",
        changes: [{ path: "src/main.ts", change: "added", after: exampleEntry }],
      },
    },
  }),
  fileDiff: endpoint({
    id: "versions.fileDiff",
    method: "GET",
    path: "/workspaces/{id}/diff/file",
    family: "environment",
    permission: "workspace.versions.diff",
    summary: "One file of two versions as a unified diff",
    params: workspaceParams,
    query: z
      .object({
        ...sides,
        path: pathText()
          .refine((path) => path !== "", "path is required")
          .transform(normalWorkspacePath),
      })
      .superRefine(checkSides),
    response: fileDiffView,
    statuses: [200],
    errors: [...diffErrors, "workspace_file_not_regular"],
    example: {
      response: {
        from_version_id: exampleId.version,
        to_version_id: exampleId.other,
        path: "README.md",
        change: "changed",
        format: "text",
        unified: "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-one\n+two\n",
      },
    },
  }),
};

export const workspaceForkEndpoints = {
  fork: endpoint({
    id: "workspaces.fork",
    method: "POST",
    path: "/workspaces/{id}/fork",
    family: "environment",
    permission: "workspace.lifecycle.manage",
    summary: "A new workspace that begins with the content of a version; nothing is copied",
    params: workspaceParams,
    body: workspaceForkBody,
    response: workspaceCreateView,
    statuses: [201],
    errors: ["workspace_no_current_version", "workspace_version_not_ready", "idempotency_fingerprint_mismatch"],
    example: { body: {}, response: { workspace: { ...exampleWorkspace, id: exampleId.other } } },
  }),
};
