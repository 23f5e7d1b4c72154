/**
 * Every stable `code` of the public API (http §1.2) with its status, the sentence used when a caller gives none, whether the
 * same request may succeed later without change, and what the reader should do. `docs/reference/errors.md` is generated from it.
 */
export interface ErrorDefinition {
  status: number;
  message: string;
  retryable: boolean;
  next: string;
}

const define = <T extends Record<string, ErrorDefinition>>(table: T): T => table;

const e = (status: number, message: string, next: string, retryable = false): ErrorDefinition => ({
  status,
  message,
  retryable,
  next,
});

export const errorDefinitions = define({
  idempotency_pending: e(
    202,
    "a request with the same idempotency key is in progress",
    "Repeat the same request after the seconds in Retry-After.",
    true,
  ),
  coordination_unavailable: e(503, "coordination_unavailable", "Repeat the same request later.", true),
  task_archived: e(409, "task is archived", "Deploy the task again or start another one."),
  task_not_deployed: e(409, "task is not part of the current deployment", "Deploy and promote a project that declares the task."),
  sandbox_not_deployed: e(409, "sandbox is not part of the deployment", "Deploy and promote a project that declares the sandbox."),
  workspace_sandbox_incompatible: e(
    409,
    "the workspace was made for another sandbox",
    "Use a workspace of the task's sandbox or leave workspace_id out.",
  ),
  workspace_resource_floor_unsatisfied: e(
    409,
    "the workspace's resources are below the task's",
    "Use a workspace with at least the task's resources.",
  ),
  session_fingerprint_mismatch: e(
    409,
    "an open session with this external_id has other parameters",
    "Use the same parameters or another external_id.",
  ),
  idempotency_fingerprint_mismatch: e(
    409,
    "the idempotency key was used with a different request",
    "Use a new idempotency key for a different request.",
  ),
  idempotency_external_id_mismatch: e(
    409,
    "the idempotency key belongs to a session with another external_id",
    "Use a new idempotency key or the same external_id.",
  ),
  session_terminal: e(409, "the session has ended", "Start a new session."),
  session_expired: e(410, "the session has expired", "Start a new session."),
  session_has_no_current_run: e(409, "the session has no run", "Send an input record to start one, or start a new session."),
  close_run_active: e(409, "the session has a live run or a pending continuation", "Wait until can_close is true, or cancel the session."),
  session_expires_at_not_extendable: e(
    400,
    "expires_at can only be moved later while it exists and is in the future",
    "Send a later expires_at, before the present one has passed.",
  ),
  stream_not_found: e(404, "stream not found", "Use a stream that the session's deployment declares for this direction."),
  stream_direction_mismatch: e(
    409,
    "the stream has the other direction",
    "Use the inputs route for input streams and the outputs route for output streams.",
  ),
  token_not_found: e(404, "token not found", "Check the token id and the environment of the credential."),
  token_expired: e(410, "the token has expired", "Create a new token."),
  token_cancelled: e(409, "the token was cancelled", "Create a new token."),
  token_completed: e(409, "the token is already completed", "Nothing is left to do; read the token for its data."),
  token_completion_conflict: e(409, "the token was completed with other data", "Read the token for the data it was completed with."),
  token_scope_denied: e(401, "the token does not allow this call", "Use a token whose scope covers this session, stream and operation."),
  workspace_not_active: e(409, "the workspace is not active", "Use an active workspace."),
  workspace_writer_active: e(409, "the workspace has an active writer", "Wait until it has ended, or stop it.", true),
  workspace_read_only_unsupported: e(400, "read-only file systems are not supported", "Leave filesystem_mode out."),
  workspace_exec_terminal: e(409, "the exec has ended", "Start a new exec."),
  workspace_exec_stdin_closed: e(409, "stdin of the exec is closed", "Start a new exec."),
  workspace_pty_terminal: e(409, "the terminal has ended", "Create a new terminal."),
  workspace_pty_not_open: e(409, "the terminal is not open", "Wait until its state is open.", true),
  workspace_stream_offset_conflict: e(409, "the offset does not continue the stream", "Read the present cursor and continue there."),
  workspace_stream_cursor_expired: e(
    410,
    "the cursor is older than the retained bytes",
    "Continue at the earliest cursor given in the text.",
  ),
  workspace_stream_follow_failed: e(500, "following the stream failed", "Reconnect at the last cursor.", true),
  workspace_mount_not_runnable: e(409, "the workspace mount cannot run this", "Connect again and repeat.", true),
  workspace_version_missing: e(409, "the workspace version does not exist", "Use a version of the versions list."),
  workspace_version_not_ready: e(409, "the workspace version is not ready", "Repeat once its state is ready.", true),
  workspace_version_artifact_missing: e(409, "the content of the workspace version is missing", "Restore another version."),
  workspace_version_artifact_corrupt: e(409, "the content of the workspace version is corrupt", "Restore another version."),
  deployment_sandbox_artifact_missing: e(409, "the image of the sandbox is missing", "Deploy again."),
  deployment_sandbox_artifact_corrupt: e(409, "the image of the sandbox is corrupt", "Deploy again."),
  workspace_mount_prerequisite_failed: e(409, "the workspace could not be mounted", "Read the mount's error and repeat."),
  workspace_mount_active: e(409, "the workspace has an active mount", "Stop the workspace first or pass force=1."),
  workspace_not_mounted: e(409, "the workspace is not mounted", "Connect the workspace first."),
  workspace_head_moved: e(409, "the workspace's current version is another one", "Read the workspace and decide again."),
  workspace_file_not_found: e(404, "file not found", "Check the path and the version."),
  workspace_no_current_version: e(404, "the workspace has no current version", "Restore a version."),
  workspace_version_not_readable: e(404, "the workspace version cannot be read", "Use a version whose state is ready."),
  workspace_file_not_regular: e(422, "not a regular file", "Use the list route for directories."),
  workspace_file_not_directory: e(422, "not a directory", "Use the content route for files."),
  workspace_version_id_required: e(400, "source=version needs version_id", "Add version_id."),
  workspace_version_id_unexpected: e(400, "version_id needs source=version", "Add source=version or leave version_id out."),
  workspace_mount_id_unexpected: e(400, "workspace_mount_id needs source=live", "Add source=live or leave workspace_mount_id out."),
});

export type ErrorCode = keyof typeof errorDefinitions;
