/** What `run` is given beside its payload (sdk §3.1). All parts are frozen. */
export interface SessionContext {
  readonly id: string;
}

export interface TaskWorkspace {
  /** Mount path of the workspace; also the working directory. */
  readonly path: string;
  /** Where the task's source is. */
  readonly projectPath: string;
}

export interface TaskContext {
  /** Aborted once when the run is cancelled without force. */
  readonly signal: AbortSignal;
  readonly run: {
    readonly id: string;
    readonly attemptId?: string;
    readonly attemptNumber?: number;
    readonly runLeaseId?: string;
    readonly snapshotVersion?: number;
  };
  readonly task: { readonly id: string };
  readonly workspace: TaskWorkspace;
  readonly session: SessionContext;
}
