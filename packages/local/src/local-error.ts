/** What a person at this machine can do something about: one sentence and the fix. */
export class LocalError extends Error {
  override name = "LocalError";
  readonly fix: string;
  constructor(message: string, fix: string, options?: ErrorOptions) {
    super(message, options);
    this.fix = fix;
  }
}
