/** Leases as the control plane gives them, with everything needed and nothing special. */
import { randomUUID } from "node:crypto";
import type { BuildLease, MountLease, RunLease, StorageKeys } from "@helmr/protocol/worker";
import type { TestControlPlane } from "./control-plane.ts";
import { storageKeysOfTest } from "./tenant.ts";

export function runLeaseOfTest(change: Partial<RunLease> = {}, storage: StorageKeys = storageKeysOfTest()): RunLease {
  return {
    kind: "run",
    lease_id: randomUUID(),
    fence: 1,
    ttl_ms: 75_000,
    needs: { milli_cpu: 1000, memory_mib: 256, disk_mib: 64 },
    run: {
      id: randomUUID(),
      session_id: randomUUID(),
      org_id: storage.org_id,
      project_id: randomUUID(),
      environment_id: randomUUID(),
      deployment_id: randomUUID(),
      attempt_id: randomUUID(),
      attempt_number: 1,
      task_id: "hello",
      module: "tasks/hello.mjs",
      export_name: "hello",
      payload: { name: "Ada" },
      active_ms_left: 60_000,
      secrets: [],
      trace_id: "0".repeat(32),
    },
    report: { accepted: 0, stdout: 0, stderr: 0, logger: 0 },
    image: { ref: "helmr/node:24", artifact: null, config: { env: {}, workdir: "/workspace", user: "" } },
    network: { internet: true },
    task_tree: { artifact_id: randomUUID(), manifest_key: "none", digest: "sha256:none", length_bytes: 0 },
    workspace: {
      workspace_id: randomUUID(),
      mount_id: randomUUID(),
      fence: 1,
      mount_path: "/workspace",
      size_mib: 64,
      base_version_id: randomUUID(),
      base: null,
    },
    checkpoint: null,
    storage,
    ...change,
  };
}

/** What the control plane gives when the wait of a run is over that was parked last. */
export function resumedLeaseOfTest(
  plane: TestControlPlane,
  lease: RunLease,
  change: Partial<NonNullable<RunLease["checkpoint"]>> = {},
): RunLease {
  const park = plane.parks.at(-1);
  if (park?.workspace.status !== "captured") throw new TypeError("A park captures the workspace");
  return {
    ...lease,
    lease_id: randomUUID(),
    fence: lease.fence + 1,
    report: { accepted: plane.items.length, stdout: plane.text("stdout").length, stderr: 0, logger: plane.text("logger").length },
    workspace: { ...lease.workspace, base: park.workspace.artifact },
    checkpoint: {
      checkpoint_id: park.checkpoint_id,
      wait_id: park.wait_id,
      call_id: 1,
      compatibility: park.compatibility,
      resume_state: park.resume_state,
      template: park.template,
      memory: park.memory,
      device: park.device,
      scratch: park.scratch,
      outcome: { kind: "token", status: "completed", data: "yes" },
      ...change,
    },
  };
}

export function buildLeaseOfTest(change: Partial<BuildLease> = {}, storage: StorageKeys = storageKeysOfTest()): BuildLease {
  return {
    kind: "build",
    lease_id: randomUUID(),
    fence: 1,
    ttl_ms: 75_000,
    needs: { milli_cpu: 2000, memory_mib: 1024, disk_mib: 1024 },
    deployment: {
      id: randomUUID(),
      org_id: storage.org_id,
      project_id: randomUUID(),
      environment_id: randomUUID(),
      version: "20260101.1",
      content_hash: "sha256:none",
      source_bytes: 0,
      attempt: 1,
      timeout_ms: 60_000,
    },
    image: { ref: "helmr/node:24", artifact: null, config: { env: {}, workdir: "/workspace", user: "" } },
    network: { internet: true },
    storage,
    ...change,
  };
}

export function mountLeaseOfTest(change: Partial<MountLease> = {}, storage: StorageKeys = storageKeysOfTest()): MountLease {
  const { needs, image, network, workspace } = runLeaseOfTest({}, storage);
  return {
    kind: "mount",
    lease_id: randomUUID(),
    fence: 1,
    ttl_ms: 75_000,
    needs,
    environment_id: randomUUID(),
    org_id: storage.org_id,
    image,
    network,
    task_tree: null,
    workspace,
    storage,
    ...change,
  };
}
