/** Workspaces, mounts and versions (http §11, §12). Files are in `files.ts`. */
import * as z from "zod";
import {
  durationText,
  externalId,
  filledText,
  idempotencyKey,
  jsonObject,
  limitQuery,
  oneOf,
  scopeFields,
  tags,
  textFilter,
  uuidParam,
  uuidValue,
  workspacePermissions,
} from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { count, emptyBody, exampleId, exampleTime, id, jsonMembers, tagList, timestamp } from "./fields.ts";

export const workspaceStates = ["active", "deleting", "recovery_required", "archived", "deleted"] as const;
export type WorkspaceState = (typeof workspaceStates)[number];
export const mountStates = ["requested", "mounting", "mounted", "unmounting", "unmounted", "lost", "failed"] as const;
export type MountState = (typeof mountStates)[number];
export const versionKinds = ["user", "system"] as const;

export const workspaceView = z
  .object({
    id,
    project_id: id,
    environment_id: id,
    deployment_sandbox_id: id,
    sandbox_id: z.string(),
    sandbox_fingerprint: z.string(),
    external_id: z.string().optional(),
    current_version_id: id.optional(),
    state: z.enum(workspaceStates),
    desired_state: z.enum(["active", "stopped", "archived", "deleted"]),
    dirty_state: z.enum(["clean", "dirty", "capturing", "capture_failed", "dirty_state_lost"]),
    last_workspace_mount_id: id.optional(),
    metadata: jsonMembers.optional(),
    tags: tagList.optional(),
    auto_stop_at: timestamp.optional(),
    auto_archive_at: timestamp.optional(),
    auto_delete_at: timestamp.optional(),
    last_activity_at: timestamp,
    created_at: timestamp,
    updated_at: timestamp,
    archived_at: timestamp.optional(),
    deleted_at: timestamp.optional(),
  })
  .meta({ id: "Workspace" });
export type Workspace = z.output<typeof workspaceView>;

export const exampleWorkspace: Workspace = {
  id: exampleId.workspace,
  project_id: exampleId.project,
  environment_id: exampleId.environment,
  deployment_sandbox_id: exampleId.sandbox,
  sandbox_id: "default",
  sandbox_fingerprint: "3f".repeat(32),
  external_id: "repo-42",
  current_version_id: exampleId.version,
  state: "active",
  desired_state: "active",
  dirty_state: "clean",
  last_activity_at: exampleTime,
  created_at: exampleTime,
  updated_at: exampleTime,
};

export const mountView = z
  .object({
    id,
    project_id: id,
    environment_id: id,
    workspace_id: id,
    deployment_sandbox_id: id,
    base_version_id: id.optional(),
    worker_instance_id: id.optional(),
    state: z.enum(mountStates),
    claim_attempt: count,
    fencing_generation: count,
    dirty_generation: count,
    reservation_expires_at: timestamp.optional(),
    last_heartbeat_at: timestamp.optional(),
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "Mount" });
export type Mount = z.output<typeof mountView>;

const exampleMount: Mount = {
  id: exampleId.mount,
  project_id: exampleId.project,
  environment_id: exampleId.environment,
  workspace_id: exampleId.workspace,
  deployment_sandbox_id: exampleId.sandbox,
  base_version_id: exampleId.version,
  state: "mounted",
  claim_attempt: 1,
  fencing_generation: 3,
  dirty_generation: 0,
  created_at: exampleTime,
  updated_at: exampleTime,
};

export const versionView = z
  .object({
    id,
    workspace_id: id,
    parent_version_id: id.optional(),
    kind: z.enum(versionKinds),
    state: z.enum(["capturing", "artifact_verified", "ready", "failed", "deleted"]),
    content_digest: z.string(),
    size_bytes: count,
    artifact_encoding: z.string(),
    artifact_entry_count: count,
    message: z.string().optional(),
    promoted_at: timestamp.optional(),
    created_at: timestamp,
  })
  .meta({ id: "WorkspaceVersion" });
export type WorkspaceVersion = z.output<typeof versionView>;

export const exampleVersion: WorkspaceVersion = {
  id: exampleId.version,
  workspace_id: exampleId.workspace,
  kind: "system",
  state: "ready",
  content_digest: `sha256:${"4d".repeat(32)}`,
  size_bytes: 1_048_576,
  artifact_encoding: "helmr.blocks.v1",
  artifact_entry_count: 0,
  promoted_at: exampleTime,
  created_at: exampleTime,
};

export const workspaceResponse = z.object({ workspace: workspaceView });
export const workspaceCreateView = z
  .object({ workspace: workspaceView, is_cached: z.literal(true).optional() })
  .meta({ id: "WorkspaceCreateResult" });
export type WorkspaceCreateResult = z.output<typeof workspaceCreateView>;

/** `state` is the mount's state, or `no_active_mount`. */
export const workspaceStopView = z
  .object({ workspace_id: id, state: z.enum([...mountStates, "no_active_mount"]), mount: mountView.optional() })
  .meta({ id: "WorkspaceStopResult" });
export type WorkspaceStopResult = z.output<typeof workspaceStopView>;

export const workspaceCreateBody = z.strictObject({
  ...scopeFields,
  sandbox_id: filledText(),
  deployment_id: uuidValue().optional(),
  external_id: externalId().optional(),
  metadata: jsonObject().default({}),
  tags: tags().default([]),
  idempotency_key: idempotencyKey().optional(),
  idempotency_key_ttl: durationText().optional().meta({ description: "default 24h" }),
});
export type WorkspaceCreateBody = z.output<typeof workspaceCreateBody>;
export type WorkspaceCreateInput = z.input<typeof workspaceCreateBody>;

/** Default lifetime of an idempotency key of create and stop. */
export const workspaceIdempotencyTtl = "24h";

/** What is given replaces what is stored. */
export const workspaceUpdateBody = z.strictObject({ metadata: jsonObject().optional(), tags: tags().optional() });
export type WorkspaceUpdateBody = z.output<typeof workspaceUpdateBody>;
export type WorkspaceUpdateInput = z.input<typeof workspaceUpdateBody>;

export const workspaceStopBody = z.strictObject({
  idempotency_key: idempotencyKey().optional(),
  idempotency_key_ttl: durationText().optional().meta({ description: "default 24h" }),
});
export type WorkspaceStopBody = z.output<typeof workspaceStopBody>;
export type WorkspaceStopInput = z.input<typeof workspaceStopBody>;

export const workspaceParams = z.object({ id: uuidParam("workspace") });

/** Codes of everything that needs a mount: materialize, connect, exec, PTY. */
export const mountErrors = [
  "workspace_not_active",
  "workspace_mount_not_runnable",
  "workspace_version_missing",
  "workspace_version_not_ready",
  "workspace_version_artifact_missing",
  "workspace_version_artifact_corrupt",
  "deployment_sandbox_artifact_missing",
  "deployment_sandbox_artifact_corrupt",
  "workspace_mount_prerequisite_failed",
] as const;

const mountPermission = { any: workspacePermissions.filter((permission) => permission !== "workspace.versions.diff") };
const stopPermission = {
  any: [
    "workspace.lifecycle.manage",
    "workspace.files.write",
    "workspace.versions.capture",
    "workspace.versions.restore",
    "workspace.exec.manage",
    "workspace.pty.manage",
    "workspace.ports.close",
  ],
} as const;

export const workspaceEndpoints = {
  create: endpoint({
    id: "workspaces.create",
    method: "POST",
    path: "/workspaces",
    family: "environment",
    permission: "workspace.lifecycle.manage",
    summary: "Create a workspace for a sandbox",
    body: workspaceCreateBody,
    response: workspaceCreateView,
    statuses: [201],
    errors: ["sandbox_not_deployed", "idempotency_fingerprint_mismatch"],
    errorStatuses: [409],
    example: { body: { sandbox_id: "default", external_id: "repo-42" }, response: { workspace: exampleWorkspace } },
  }),
  list: endpoint({
    id: "workspaces.list",
    method: "GET",
    path: "/workspaces",
    family: "environment",
    permission: { any: workspacePermissions },
    summary: "List workspaces",
    query: z.object({
      state: oneOf(workspaceStates).optional(),
      external_id: textFilter(),
      tag: textFilter(),
      limit: limitQuery(200, 100),
    }),
    response: z.object({ workspaces: z.array(workspaceView) }),
    statuses: [200],
    example: { response: { workspaces: [exampleWorkspace] } },
  }),
  get: endpoint({
    id: "workspaces.get",
    method: "GET",
    path: "/workspaces/{id}",
    family: "environment",
    permission: { any: workspacePermissions },
    summary: "Get a workspace",
    params: workspaceParams,
    response: workspaceResponse,
    statuses: [200],
    example: { response: { workspace: exampleWorkspace } },
  }),
  update: endpoint({
    id: "workspaces.update",
    method: "PATCH",
    path: "/workspaces/{id}",
    family: "environment",
    permission: "workspace.lifecycle.manage",
    summary: "Replace metadata or tags of a workspace",
    params: workspaceParams,
    body: workspaceUpdateBody,
    response: workspaceResponse,
    statuses: [200],
    example: { body: { tags: ["main"] }, response: { workspace: { ...exampleWorkspace, tags: ["main"] } } },
  }),
  delete: endpoint({
    id: "workspaces.delete",
    method: "DELETE",
    path: "/workspaces/{id}",
    family: "environment",
    permission: "workspace.lifecycle.manage",
    summary: "Archive a workspace; with force=1 also when it is mounted (202 until that is done)",
    params: workspaceParams,
    query: z.object({
      force: z
        .string()
        .optional()
        .transform((value) => value === "1")
        .meta({ param: { type: "string", enum: ["1"] }, description: "cancel and stop what runs there first" }),
    }),
    response: workspaceResponse,
    statuses: [200, 202],
    errors: ["workspace_mount_active"],
    example: { response: { workspace: { ...exampleWorkspace, state: "archived", desired_state: "archived", archived_at: exampleTime } } },
  }),
  materialize: endpoint({
    id: "workspaces.materialize",
    method: "POST",
    path: "/workspaces/{id}/materialize",
    family: "environment",
    permission: mountPermission,
    summary: "Mount a workspace; repeat until its state is mounted",
    params: workspaceParams,
    body: emptyBody,
    response: mountView,
    statuses: [201, 200],
    errors: mountErrors,
    example: { body: {}, response: { ...exampleMount, state: "requested", claim_attempt: 0 } },
  }),
  connect: endpoint({
    id: "workspaces.connect",
    method: "POST",
    path: "/workspaces/{id}/connect",
    family: "environment",
    permission: mountPermission,
    summary: "The same as materialize",
    params: workspaceParams,
    body: emptyBody,
    response: mountView,
    statuses: [201, 200],
    errors: mountErrors,
    example: { body: {}, response: exampleMount },
  }),
  stop: endpoint({
    id: "workspaces.stop",
    method: "POST",
    path: "/workspaces/{id}/stop",
    family: "environment",
    permission: stopPermission,
    summary: "Capture and unmount a workspace",
    params: workspaceParams,
    body: workspaceStopBody,
    response: workspaceStopView,
    statuses: [200],
    errors: ["idempotency_pending", "idempotency_fingerprint_mismatch"],
    example: {
      body: {},
      response: { workspace_id: exampleId.workspace, state: "unmounting", mount: { ...exampleMount, state: "unmounting" } },
    },
  }),
};

export const versionEndpoints = {
  list: endpoint({
    id: "versions.list",
    method: "GET",
    path: "/workspaces/{id}/versions",
    family: "environment",
    permission: "workspace.versions.read",
    summary: "List the versions of a workspace",
    params: workspaceParams,
    query: z.object({ kind: oneOf(versionKinds).optional(), limit: limitQuery(200, 50) }),
    response: z.object({ versions: z.array(versionView) }),
    statuses: [200],
    example: { response: { versions: [exampleVersion] } },
  }),
  get: endpoint({
    id: "versions.get",
    method: "GET",
    path: "/workspaces/{id}/versions/{versionID}",
    family: "environment",
    permission: "workspace.versions.read",
    summary: "Get a version of a workspace",
    params: workspaceParams.extend({ versionID: uuidParam("workspace version") }),
    response: z.object({ version: versionView }),
    statuses: [200],
    example: { response: { version: exampleVersion } },
  }),
};
