/**
 * The errors of sdk §1.4. Four of them carry a brand, so that `instanceof` also recognises one that another copy of the SDK in the same
 * process has thrown (sdk §1.5).
 */
import { type BrandName, brand, hasBrand } from "./brand.ts";
import type { WorkspaceStreamTerminal } from "./client/exec-shapes.ts";
import type { StandardSchemaV1 } from "./schema.ts";

/** `instanceof` for the class itself asks for the brand; for subclasses it stays the language's own. */
function isInstance(ownClass: unknown, asked: { prototype: object }, name: BrandName, value: unknown): boolean {
  if (asked === ownClass) return hasBrand(name, value);
  return typeof value === "object" && value !== null && Object.prototype.isPrototypeOf.call(asked.prototype, value);
}

/** Any HTTP 401. */
export class AuthError extends Error {
  override name = "AuthError";
  constructor(message = "Helmr authentication failed") {
    super(message);
  }
}

/** Any other answer that is not a success. The raw body holds the error `code` of the API. */
export class HelmrApiError extends Error {
  override name = "HelmrApiError";
  readonly status: number;
  constructor(status: number, body: string) {
    super(`Helmr API ${status}: ${body}`);
    this.status = status;
  }
}

/** `runs.wait` took longer than its `timeoutMs`. */
export class TimeoutError extends Error {
  override name = "TimeoutError";
}

/** A URL that the client may not talk to, or a stream call that works only inside a task. */
export class UnsupportedTransportError extends Error {
  override name = "UnsupportedTransportError";
}

/** For callers; the client itself reports an unknown run as a HelmrApiError with status 404. */
export class RunNotFoundError extends Error {
  override name = "RunNotFoundError";
  readonly runId: string;
  constructor(runId: string) {
    super(`Run ${runId} was not found`);
    this.runId = runId;
  }
}

/** A second blocking call inside a task while one is in flight (sdk §8.5). */
export class ConcurrentWaitError extends Error {
  override name = "ConcurrentWaitError";
  constructor(message: string) {
    super(message);
    brand("ConcurrentWaitError", this);
  }
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(ConcurrentWaitError, this, "ConcurrentWaitError", value);
  }
}

export class WaitTimeoutError extends Error {
  override name = "WaitTimeoutError";
  /** Seconds; undefined when the wait had no timeout of its own. */
  readonly timeout: number | undefined;
  constructor(timeout: number | undefined, subject = "wait") {
    super(timeout === undefined ? `The ${subject} timed out` : `The ${subject} timed out after ${timeout} s`);
    this.timeout = timeout;
    brand("WaitTimeoutError", this);
  }
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(WaitTimeoutError, this, "WaitTimeoutError", value);
  }
}

export class WaitCancelledError extends Error {
  override name = "WaitCancelledError";
  constructor(message = "The wait was cancelled") {
    super(message);
    brand("WaitCancelledError", this);
  }
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(WaitCancelledError, this, "WaitCancelledError", value);
  }
}

const issuesShown = 5;

/** A value that the schema of a payload, a stream or a wait refused. */
export class PayloadSchemaValidationError extends Error {
  override name = "PayloadSchemaValidationError";
  readonly issues: readonly StandardSchemaV1.Issue[];
  constructor(label: string, issues: readonly StandardSchemaV1.Issue[]) {
    const shown = issues.slice(0, issuesShown).map((issue) => `${issuePath(issue)}: ${issue.message}`);
    const rest = issues.length - shown.length;
    super(`${label} failed validation: ${shown.join("; ")}${rest > 0 ? `; and ${rest} more` : ""}`);
    this.issues = issues;
    brand("PayloadSchemaValidationError", this);
  }
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(PayloadSchemaValidationError, this, "PayloadSchemaValidationError", value);
  }
}

/** `payload.items[0].name` */
function issuePath(issue: StandardSchemaV1.Issue): string {
  let text = "payload";
  for (const segment of issue.path ?? []) {
    const key = typeof segment === "object" ? segment.key : segment;
    text += typeof key === "number" ? `[${key}]` : `.${String(key)}`;
  }
  return text;
}

/** A byte stream of an exec or terminal ended in state lost or failed. */
export class WorkspaceStreamTerminalError extends Error {
  override name = "WorkspaceStreamTerminalError";
  readonly terminal: WorkspaceStreamTerminal;
  constructor(terminal: WorkspaceStreamTerminal) {
    super(`The byte stream ended because its source is ${terminal.state}`);
    this.terminal = terminal;
  }
}

/** An error frame on a byte stream. */
export class WorkspaceStreamError extends Error {
  override name = "WorkspaceStreamError";
  readonly code: string;
  readonly cursor?: number;
  constructor(error: { code: string; message?: string; cursor?: number }) {
    super(error.message ? `${error.message} (${error.code})` : error.code);
    this.code = error.code;
    if (error.cursor !== undefined) this.cursor = error.cursor;
  }
}

/** Something in an author's definition, or an option of a call, that breaks a rule. Not exported: the sentence says what to change. */
export class DefinitionError extends TypeError {
  override name = "DefinitionError";
}

/** A bad task id. Internal. */
export class TaskIdError extends DefinitionError {
  override name = "TaskIdError";
}
