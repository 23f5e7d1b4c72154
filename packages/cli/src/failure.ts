/**
 * How a command fails. A failure is exactly one line on stderr and an exit code (cli §1); the line is the message of the error.
 * Anything else that is thrown is a bug of ours and is reported with an id (program.ts).
 */
export class Failure extends Error {
  readonly exitCode: number;

  constructor(message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(oneLine(message), options.cause === undefined ? {} : { cause: options.cause });
    this.name = "Failure";
    this.exitCode = options.exitCode ?? 1;
  }
}

/** The server answered with a status that is not a success. */
export class HttpFailure extends Failure {
  readonly status: number;
  /** `code` of the error body, for decisions only: it is never printed. */
  readonly code: string | undefined;
  /** `error` of the error body. */
  readonly reason: string | undefined;

  constructor(message: string, answer: { status: number; code?: string | undefined; reason?: string | undefined }) {
    super(message);
    this.name = "HttpFailure";
    this.status = answer.status;
    this.code = answer.code;
    this.reason = answer.reason;
  }
}

/** No answer, or one that broke off: a follower connects again after it. */
export class TransportFailure extends Failure {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "TransportFailure";
  }
}

/** Ends the process with a code and says nothing: everything there is to say has been printed. */
export class SilentExit extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit ${exitCode}`);
    this.name = "SilentExit";
    this.exitCode = exitCode;
  }
}

/** Texts of servers, compilers and package managers may have several lines. */
export function oneLine(text: string): string {
  return text.trim().replace(/\s*[\r\n]+\s*/g, " ");
}

/** What went wrong, for an unknown thrown value. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  if (error.message !== "") return error.message;
  return code ?? error.name;
}
