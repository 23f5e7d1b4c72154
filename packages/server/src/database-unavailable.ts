/** PostgreSQL cannot be reached, or the connection was lost on the way. The caller's caller repeats the whole idempotent operation. */
export class DatabaseUnavailable extends Error {
  override name = "DatabaseUnavailable";
  /** true: the transaction may have been committed. */
  readonly unknown: boolean;
  constructor(message: string, options: { cause?: unknown; unknown: boolean }) {
    super(message, { cause: options.cause });
    this.unknown = options.unknown;
  }
}
