/** What almost every call takes (sdk §9.1). */
export interface RequestOptions {
  /** With a user session's token: both or neither, as id or slug. */
  readonly projectId?: string | undefined;
  readonly environmentId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}
