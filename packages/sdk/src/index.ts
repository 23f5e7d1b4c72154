/** The public surface of `@helmr/sdk` (sdk §1.2, §1.3): exactly these names. `api.md` lists them with their declarations. */
export {
  AuthError,
  ConcurrentWaitError,
  HelmrApiError,
  PayloadSchemaValidationError,
  RunNotFoundError,
  TimeoutError,
  UnsupportedTransportError,
  WaitCancelledError,
  WaitTimeoutError,
  WorkspaceStreamError,
  WorkspaceStreamTerminalError,
} from "./errors.ts";

export { defineConfig, type HelmrConfig, type HelmrConfigInput } from "./authoring/config.ts";
export {
  cache,
  image,
  type CacheBuilder,
  type CacheMount,
  type CacheMountBinding,
  type ImageBuilder,
  type ImageRunOptions,
  type SecretMountBinding,
} from "./authoring/image.ts";
export { queue, type QueueConfig, type QueueDefinition } from "./authoring/queue.ts";
export { sandbox, type SandboxBuilder, type SandboxNetwork } from "./authoring/sandbox.ts";
export type { ScheduleCron, ScheduledTaskConfig, ScheduledTaskPayload } from "./authoring/scheduled-task.ts";
export { validateSecretName } from "./authoring/secret-name.ts";
export type { Placement, SecretDecls } from "./authoring/secrets.ts";
export { source, type SourceCapabilities, type SourceDirRef, type SourceDirectoryOptions, type SourceFileRef } from "./authoring/source.ts";
export {
  task,
  type NoPayload,
  type SessionStartPayload,
  type Task,
  type TaskConfig,
  type TaskOutput,
  type TaskPayload,
} from "./authoring/task.ts";
export type { SessionContext, TaskContext, TaskWorkspace } from "./authoring/task-context.ts";
export {
  idempotencyKeys,
  type IdempotencyKey,
  type IdempotencyKeyCreateOptions,
  type IdempotencyKeyInput,
  type IdempotencyKeyScope,
} from "./idempotency-keys.ts";
export type { PayloadSchema, StandardSchemaV1 } from "./schema.ts";

export type { DurationInput } from "./guest-duration.ts";
export type { InputStreamDefinition, InputStreamHandle, InputStreamPeekOptions, InputStreamWaitOptions } from "./running/input-stream.ts";
export { logger } from "./running/logger.ts";
export { metadata } from "./running/run-metadata.ts";
export type {
  OutputStreamDefinition,
  OutputStreamHandle,
  StreamAppendOptions,
  StreamListOptions,
  StreamReadOptions,
  StreamWriter,
} from "./running/output-stream.ts";
export type { StreamRecord } from "./running/stream-record.ts";
export { streams } from "./running/streams.ts";
export { timers, type UntilInput } from "./running/timers.ts";
export type { WaitDelayHandle, WaitHandle, WaitJson, WaitResult } from "./running/wait-handle.ts";

export type { PublicAccessToken, PublicAccessTokenCreateOptions, PublicAccessTokenScope } from "./client/auth.ts";
export type {
  WorkspaceExec,
  WorkspaceExecCreateOptions,
  WorkspaceExecHandle,
  WorkspaceExecListOptions,
  WorkspaceExecReadableStreamApi,
  WorkspaceExecsApi,
  WorkspaceExecState,
  WorkspaceExecStdinApi,
  WorkspacePty,
  WorkspacePtyApi,
  WorkspacePtyCreateOptions,
  WorkspacePtyHandle,
  WorkspacePtyListOptions,
  WorkspacePtyOutputApi,
  WorkspacePtyState,
  WorkspaceStreamChunk,
  WorkspaceStreamFollowOptions,
  WorkspaceStreamListOptions,
  WorkspaceStreamTerminal,
  WorkspaceStreamWriteOptions,
} from "./client/exec-shapes.ts";
export { HelmrClient } from "./client/helmr-client.ts";
export type {
  ListRunEventsOptions,
  ListRunsOptions,
  LogSnapshot,
  RetrieveRunOptions,
  RunEvent,
  RunEventRecord,
  RunEventRecordPage,
  RunHandle,
  RunOutput,
  RunSnapshot,
  RunStatus,
  RunSummary,
  SubscribeRunEventsOptions,
} from "./client/run-shapes.ts";
export type {
  ListSchedulesOptions,
  RetrieveScheduleOptions,
  Schedule,
  ScheduleCreateOptions,
  ScheduleRef,
  SchedulesApi,
  ScheduleUpdateOptions,
} from "./client/schedule-shapes.ts";
export type {
  InputStreamSendOptions,
  OpenSessionApi,
  OpenSessionByExternalIdApi,
  OpenSessionHandle,
  SessionActivity,
  SessionAddress,
  SessionCancelOptions,
  SessionCloseOptions,
  SessionExternalIdAddress,
  SessionHandle,
  SessionInputSendOptions,
  SessionInputSendResult,
  SessionInputStreamApi,
  SessionListOptions,
  SessionOutputAppendOptions,
  SessionOutputStreamApi,
  SessionRun,
  SessionSnapshot,
  SessionStartAndWaitOptions,
  SessionStartAndWaitResult,
  SessionStartOptions,
  SessionStartResult,
  SessionStatus,
  SessionStreamListOptions,
  SessionStreamReadOptions,
} from "./client/session-shapes.ts";
export type {
  RuntimeTokenCreateOptions,
  Token,
  TokenCompleteOptions,
  TokenCompleteResult,
  TokenCreateOptions,
  TokenListOptions,
  TokenRef,
  TokenRetrieveOptions,
  TokensApi,
  TokenWaitOptions,
} from "./client/token-shapes.ts";
export type {
  Workspace,
  WorkspaceCreateOptions,
  WorkspaceDesiredState,
  WorkspaceDirtyState,
  WorkspaceFileEntry,
  WorkspaceFileList,
  WorkspaceFileListOptions,
  WorkspaceFileReadOptions,
  WorkspaceFilesApi,
  WorkspaceFileSourceOptions,
  WorkspaceFileStatOptions,
  WorkspaceHandle,
  WorkspaceListOptions,
  WorkspaceMaterialization,
  WorkspaceMaterializeOptions,
  WorkspaceRetrieveOptions,
  WorkspacesApi,
  WorkspaceState,
  WorkspaceStopOptions,
  WorkspaceStopResult,
  WorkspaceUpdateOptions,
  WorkspaceVersion,
  WorkspaceVersionListOptions,
  WorkspaceVersionsApi,
} from "./client/workspace-shapes.ts";
export { auth, runs, schedules, sessions, tokens, workspaces } from "./namespaces.ts";
