/** Deployments with their tasks and sandboxes (http §9). */
import * as z from "zod";
import {
  apiVersion,
  bundleFormatVersion,
  cursorQuery,
  followQuery,
  isUuid,
  limitQuery,
  plainText,
  scopeFields,
  uuidParam,
  workerProtocolVersion,
} from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { count, exampleId, exampleTime, id, timestamp } from "./fields.ts";
import { eventPageView, eventView } from "./run-events.ts";

export const deploymentStatuses = ["queued", "building", "deployed", "failed"] as const;
export type DeploymentStatus = (typeof deploymentStatuses)[number];
/** A follower ends after one of these. Other kinds in between describe steps of the build. */
export const terminalDeploymentEventKinds = ["deployment.deployed", "deployment.failed"] as const;

export function isTerminalDeploymentEvent(kind: string): boolean {
  return (terminalDeploymentEventKinds as readonly string[]).includes(kind);
}

/** Two parts in this order, and no others. */
export const deploymentParts = { metadata: "metadata", source: "deployment_source" } as const;

const current = <T extends string | number>(value: T) =>
  z
    .unknown()
    .refine((given) => given === value || given === "" || given === 0, `must be ${value}`)
    .transform((): T => value)
    .meta({ type: typeof value === "number" ? "integer" : "string" }) as unknown as z.ZodType<T, T | "" | 0>;

/** The JSON of the multipart part `metadata`. Blank or 0 means the current version. */
export const deploymentMetadataBody = z.strictObject({
  ...scopeFields,
  content_hash: z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be sha256: and 64 hexadecimal digits"),
  api_version: current(apiVersion).optional(),
  sdk_version: plainText().optional(),
  cli_version: plainText().optional(),
  bundle_format_version: current(bundleFormatVersion).optional(),
  worker_protocol_version: current(workerProtocolVersion).optional(),
});
export type DeploymentMetadataBody = z.output<typeof deploymentMetadataBody>;
export type DeploymentMetadataInput = z.input<typeof deploymentMetadataBody>;

export const deploymentTaskView = z
  .object({
    id,
    task_id: z.string(),
    file_path: z.string().optional(),
    export_name: z.string().optional(),
    handler_entrypoint: z.string().optional(),
    bundle_digest: z.string().optional(),
    bundle_format_version: z.int(),
    queue_name: z.string().optional(),
    concurrency_limit: z.int().optional(),
    ttl: z.string().optional(),
    created_at: timestamp,
  })
  .meta({ id: "DeploymentTask" });
export type DeploymentTask = z.output<typeof deploymentTaskView>;

const exampleTask: DeploymentTask = {
  id: exampleId.deploymentTask,
  task_id: "hello",
  file_path: "tasks/hello.ts",
  export_name: "hello",
  bundle_format_version: 2,
  queue_name: "hello",
  created_at: exampleTime,
};

export const deploymentView = z
  .object({
    id,
    version: z.string().meta({ description: "YYYYMMDD.N" }),
    api_version: z.string(),
    sdk_version: z.string().optional(),
    cli_version: z.string().optional(),
    bundle_format_version: z.int(),
    worker_protocol_version: z.string(),
    project_id: id,
    environment_id: id,
    content_hash: z.string(),
    deployment_source: z.object({ digest: z.string(), size_bytes: count.optional(), media_type: z.string().optional() }),
    build_manifest_digest: z.string().optional(),
    deployment_manifest_digest: z.string().optional(),
    status: z.enum(deploymentStatuses),
    error: z.object({ message: z.string().optional() }).optional(),
    tasks: z.array(deploymentTaskView).meta({ description: "empty in lists and in the answer of promote" }),
    created_at: timestamp,
    building_at: timestamp.nullable(),
    built_at: timestamp.nullable(),
    deployed_at: timestamp.nullable(),
    failed_at: timestamp.nullable(),
  })
  .meta({ id: "Deployment" });
export type Deployment = z.output<typeof deploymentView>;

const exampleDeployment: Deployment = {
  id: exampleId.deployment,
  version: "20260606.1",
  api_version: apiVersion,
  sdk_version: "0.1.0",
  bundle_format_version: bundleFormatVersion,
  worker_protocol_version: workerProtocolVersion,
  project_id: exampleId.project,
  environment_id: exampleId.environment,
  content_hash: `sha256:${"0f".repeat(32)}`,
  deployment_source: { digest: `sha256:${"0f".repeat(32)}`, size_bytes: 20_480, media_type: "application/x-tar" },
  status: "deployed",
  tasks: [exampleTask],
  created_at: exampleTime,
  building_at: exampleTime,
  built_at: exampleTime,
  deployed_at: exampleTime,
  failed_at: null,
};

export const networkPolicyView = z.object({
  internet: z.boolean(),
  allow: z.array(z.string()).optional(),
  deny: z.array(z.string()).optional(),
});

export const sandboxView = z
  .object({
    id,
    deployment_id: id,
    sandbox_id: z.string(),
    fingerprint: z.string(),
    image_artifact_id: id,
    image_artifact_format: z.string(),
    rootfs_digest: z.string(),
    image_digest: z.string(),
    image_format: z.string(),
    workspace_mount_path: z.string(),
    resource_floor: z.object({ milli_cpu: count, memory_mib: count, disk_mib: count, execution_slots: count }).optional(),
    disk_floor_mib: count,
    network_policy: networkPolicyView.optional(),
    runtime_abi: z.string(),
    guestd_abi: z.string(),
    adapter_abi: z.string(),
    filesystem_format: z.literal("tar"),
    default_uid: z.int().optional(),
    default_gid: z.int().optional(),
    default_workdir: z.string(),
    contract_version: z.int(),
    created_at: timestamp,
  })
  .meta({ id: "Sandbox" });
export type Sandbox = z.output<typeof sandboxView>;

const exampleSandbox: Sandbox = {
  id: exampleId.sandbox,
  deployment_id: exampleId.deployment,
  sandbox_id: "default",
  fingerprint: "3f".repeat(32),
  image_artifact_id: exampleId.other,
  image_artifact_format: "helmr.image.v1",
  rootfs_digest: `sha256:${"1a".repeat(32)}`,
  image_digest: `sha256:${"2b".repeat(32)}`,
  image_format: "helmr.rootfs.v1",
  workspace_mount_path: "/workspace",
  resource_floor: { milli_cpu: 2000, memory_mib: 2048, disk_mib: 0, execution_slots: 1 },
  disk_floor_mib: 0,
  network_policy: { internet: true },
  runtime_abi: "helmr.runtime.v1",
  guestd_abi: "helmr.guest.v1",
  adapter_abi: "helmr.adapter.v1",
  filesystem_format: "tar",
  default_workdir: "/workspace",
  contract_version: 1,
  created_at: exampleTime,
};

/** A path segment that is a UUID or a version `YYYYMMDD.N`. */
export const deploymentRef = z
  .string()
  .refine((text) => isUuid(text) || /^\d{8}\.\d{1,9}$/.test(text), "invalid deployment id or version")
  .transform((text) => text.toLowerCase());

export const deploymentPromoteBody = z.strictObject({ reason: plainText().optional() });
export type DeploymentPromoteBody = z.output<typeof deploymentPromoteBody>;
export type DeploymentPromoteInput = z.input<typeof deploymentPromoteBody>;

const deploymentParams = z.object({ id: uuidParam("deployment") });

export const deploymentEndpoints = {
  create: endpoint({
    id: "deployments.create",
    method: "POST",
    path: "/deployments",
    family: "environment",
    permission: "tasks.deploy",
    summary: "Upload the source of a deployment: part metadata, then part deployment_source (tar)",
    body: deploymentMetadataBody,
    response: deploymentView,
    statuses: [201],
    errorStatuses: [413],
    media: { request: "multipart/form-data" },
    example: {
      body: { content_hash: exampleDeployment.content_hash },
      response: { ...exampleDeployment, status: "queued", tasks: [], building_at: null, built_at: null, deployed_at: null },
    },
  }),
  list: endpoint({
    id: "deployments.list",
    method: "GET",
    path: "/deployments",
    family: "environment",
    permission: "tasks.deploy",
    summary: "List deployments, newest first",
    query: z.object({ limit: limitQuery(200, 50) }),
    response: z.object({ deployments: z.array(deploymentView) }),
    statuses: [200],
    example: { response: { deployments: [{ ...exampleDeployment, tasks: [] }] } },
  }),
  current: endpoint({
    id: "deployments.current",
    method: "GET",
    path: "/deployments/current",
    family: "environment",
    permission: "runs.read",
    summary: "Get the current deployment with its tasks",
    response: z.object({ deployment: deploymentView.nullable() }),
    statuses: [200],
    example: { response: { deployment: exampleDeployment } },
  }),
  get: endpoint({
    id: "deployments.get",
    method: "GET",
    path: "/deployments/{id}",
    family: "environment",
    permission: "tasks.deploy",
    summary: "Get a deployment with its tasks",
    params: deploymentParams,
    response: deploymentView,
    statuses: [200],
    example: { response: exampleDeployment },
  }),
  events: endpoint({
    id: "deployments.events",
    method: "GET",
    path: "/deployments/{id}/events",
    family: "environment",
    permission: "tasks.deploy",
    summary: "List or follow the events of a deployment",
    params: deploymentParams,
    query: z.object({ cursor: cursorQuery(), limit: limitQuery(200, 200), follow: followQuery() }),
    response: eventPageView,
    statuses: [200],
    events: { deployment_event: eventView },
    example: {
      response: {
        events: [
          {
            id: "1",
            deployment_id: exampleId.deployment,
            trace: { trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" },
            category: "deployment",
            severity: "info",
            source: "control_plane",
            kind: "deployment.queued",
            message: "deployment 20260606.1 is queued",
            at: exampleTime,
            occurred_at: exampleTime,
            redaction_class: "none",
            attributes: {},
          },
        ],
        cursor: 0,
      },
    },
  }),
  promote: endpoint({
    id: "deployments.promote",
    method: "POST",
    path: "/deployments/{id}/promote",
    family: "environment",
    permission: "tasks.deploy",
    summary: "Make a deployment the current one; id may be its version",
    params: z.object({ id: deploymentRef }),
    body: deploymentPromoteBody,
    response: deploymentView,
    statuses: [200],
    example: { body: { reason: "fixes the greeting" }, response: { ...exampleDeployment, tasks: [] } },
  }),
};

export const taskEndpoints = {
  list: endpoint({
    id: "tasks.list",
    method: "GET",
    path: "/tasks",
    family: "environment",
    permission: "runs.read",
    summary: "List the tasks of the current deployment",
    response: z.object({ tasks: z.array(deploymentTaskView) }),
    statuses: [200],
    example: { response: { tasks: [exampleTask] } },
  }),
  get: endpoint({
    id: "tasks.get",
    method: "GET",
    path: "/tasks/{taskID}",
    family: "environment",
    permission: "runs.read",
    summary: "Get a task of the current deployment",
    params: z.object({ taskID: plainText() }),
    response: deploymentTaskView,
    statuses: [200],
    example: { response: exampleTask },
  }),
};

export const sandboxEndpoints = {
  list: endpoint({
    id: "sandboxes.list",
    method: "GET",
    path: "/sandboxes",
    family: "environment",
    permission: "runs.read",
    summary: "List the sandboxes of the current deployment",
    response: z.object({ sandboxes: z.array(sandboxView) }),
    statuses: [200],
    example: { response: { sandboxes: [exampleSandbox] } },
  }),
  get: endpoint({
    id: "sandboxes.get",
    method: "GET",
    path: "/sandboxes/{sandboxID}",
    family: "environment",
    permission: "runs.read",
    summary: "Get a sandbox of the current deployment by its sandbox id",
    params: z.object({ sandboxID: plainText() }),
    response: sandboxView,
    statuses: [200],
    example: { response: exampleSandbox },
  }),
};
