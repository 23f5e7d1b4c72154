/** Mounts, execs, terminals and chunks as the API shows them (http §11, §13, §14). */
import type { Chunk, Exec, Mount, Pty } from "@helmr/protocol/api";
import type { Json } from "@helmr/protocol/shared";
import type { MountRow } from "../../operations/ensure-mount.ts";
import type { ChunkRow, ExecRow } from "../../operations/read-execs.ts";

export function mountView(row: MountRow): Mount {
  return {
    id: row.id,
    project_id: row.project_id,
    environment_id: row.environment_id,
    workspace_id: row.workspace_id,
    deployment_sandbox_id: row.deployment_sandbox_id,
    ...present({ base_version_id: row.base_version_id, worker_instance_id: row.worker_id }),
    state: row.state,
    claim_attempt: row.claim_attempt,
    fencing_generation: row.fence,
    dirty_generation: row.dirty_generation,
    ...present({ reservation_expires_at: row.reservation_expires_at, last_heartbeat_at: row.last_heartbeat_at }),
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

export function execView(row: ExecRow): Exec {
  return {
    id: row.id,
    workspace_id: row.workspace_id,
    ...present({ workspace_mount_id: row.mount_id }),
    command: row.command,
    cwd: row.cwd,
    ...(Object.keys(row.env).length === 0 ? {} : { env_shape: row.env }),
    filesystem_mode: "write",
    state: row.state as Exec["state"],
    detached: row.detached,
    ...present({ process_id: row.process_id, exit_code: row.exit_code, signal: row.signal, error: row.error as Json }),
    stdout_cursor: row.lengths.stdout ?? 0,
    stderr_cursor: row.lengths.stderr ?? 0,
    stdin_cursor: row.lengths.stdin ?? 0,
    ...present({ stdin_closed_at: row.stdin_closed_at }),
    created_at: row.created_at,
    ...present({ started_at: row.started_at, exited_at: row.ended_at }),
    updated_at: row.updated_at,
  };
}

export function ptyView(row: ExecRow): Pty {
  return {
    id: row.id,
    workspace_id: row.workspace_id,
    ...present({ workspace_mount_id: row.mount_id }),
    cwd: row.cwd,
    cols: row.cols ?? 80,
    rows: row.rows ?? 24,
    filesystem_mode: "write",
    state: row.state as Pty["state"],
    ...present({ process_id: row.process_id, exit_code: row.exit_code, signal: row.signal }),
    output_cursor: row.lengths.output ?? 0,
    input_cursor: row.lengths.input ?? 0,
    ...present({ error: row.error as Json }),
    created_at: row.created_at,
    ...present({ started_at: row.started_at, closed_at: row.ended_at }),
    updated_at: row.updated_at,
  };
}

export function chunkView(row: ChunkRow): Chunk {
  return {
    id: row.id,
    stream: row.name,
    offset_start: row.offset_start,
    offset_end: row.offset_end,
    data: row.data.toString("base64"),
    observed_at: row.observed_at,
    created_at: row.created_at,
  };
}

/** Members without a value are absent on the wire. */
function present<T extends Record<string, Json | undefined>>(members: T): { [K in keyof T]?: Exclude<T[K], null> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null)) as { [K in keyof T]?: Exclude<T[K], null> };
}
