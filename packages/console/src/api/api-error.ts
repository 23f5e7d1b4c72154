/** What went wrong with a request, in one shape for every page. Where it is shown: lists and pages inline, actions in their dialog or as a notice. */
import type { AuthFlowErrorBody, ErrorBody } from "@helmr/protocol/api";
import type { ErrorCode } from "@helmr/protocol/shared";
import { nextSteps } from "./next-steps.ts";

export class ApiError extends Error {
  override name = "ApiError";
  /** 0: no answer came. */
  readonly status: number;
  readonly code: ErrorCode | (string & {}) | undefined;
  readonly kind: AuthFlowErrorBody["error_kind"] | undefined;

  constructor(status: number, message: string, more: { code?: string; kind?: AuthFlowErrorBody["error_kind"]; cause?: unknown } = {}) {
    super(message, { cause: more.cause });
    this.status = status;
    this.code = more.code;
    this.kind = more.kind;
  }
}

export async function errorOfResponse(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  const body = parseBody(text);
  const message = body?.error ?? `The server answered ${response.status}${text === "" ? "" : `: ${text.slice(0, 200)}`}`;
  return new ApiError(response.status, message, {
    ...(body && "code" in body && body.code !== undefined ? { code: body.code } : {}),
    ...(body && "error_kind" in body ? { kind: body.error_kind } : {}),
  });
}

function parseBody(text: string): ErrorBody | AuthFlowErrorBody | undefined {
  try {
    const body = JSON.parse(text) as unknown;
    return typeof body === "object" && body !== null && "error" in body && typeof body.error === "string"
      ? (body as ErrorBody | AuthFlowErrorBody)
      : undefined;
  } catch {
    // Not JSON: a proxy in front of the server answered.
    return undefined;
  }
}

export function isStatus(error: unknown, ...statuses: number[]): boolean {
  return error instanceof ApiError && statuses.includes(error.status);
}

export interface Explanation {
  title: string;
  detail: string;
  /** What the reader can do about it. */
  next?: string;
  code?: string;
}

/** The server has no such route: it is older than the console, or built without this part (http §1.1). */
export function isUnknownRoute(error: unknown): boolean {
  return (
    error instanceof ApiError && ((error.status === 404 && error.message === "not found") || error.status === 405 || error.status === 501)
  );
}

/** What people read about an error. */
export function explainError(error: unknown): Explanation {
  if (!(error instanceof ApiError)) return { title: "Something went wrong in this page", detail: String(error) };
  if (error.status === 0) return { title: "The server cannot be reached", detail: "Check that it is running and that you are online." };
  const { title, next: usual } = generalOf(error);
  const next = (error.code === undefined ? undefined : nextSteps[error.code]) ?? usual;
  return {
    title,
    detail: sentence(error.message),
    ...(next === undefined ? {} : { next }),
    ...(error.code === undefined ? {} : { code: error.code }),
  };
}

function generalOf(error: ApiError): { title: string; next?: string } {
  const { status } = error;
  if (isUnknownRoute(error))
    return { title: "This server does not offer it", next: "It may be older than this console, or set up without it." };
  if (status === 401) return { title: "You are not signed in", next: "Sign in again." };
  if (status === 403) return { title: "Your role does not allow this", next: "Ask an owner of the organization for another role." };
  if (status === 404) return { title: "Not found", next: "It may have been deleted, or belong to another environment." };
  if (status === 429) return { title: "Too many attempts", next: "Wait a minute, then try again." };
  if (status >= 500) return { title: "The server failed", next: "Try again; if it stays so, its log has the cause." };
  return { title: "That was refused" };
}

export function errorText(error: unknown): string {
  const { title, detail } = explainError(error);
  return error instanceof ApiError && error.status !== 0 && error.status < 500 ? detail : `${title}: ${detail}`;
}

function sentence(text: string): string {
  const trimmed = text.trim();
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
