/** What went wrong with a request, in one shape for every page. Where it is shown: lists and pages inline, actions in their dialog or as a notice. */
import type { AuthFlowErrorBody, ErrorBody } from "@helmr/protocol/api";
import type { ErrorCode } from "@helmr/protocol/shared";

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
  code?: string;
}

/** What people read about an error. */
export function explainError(error: unknown): Explanation {
  if (!(error instanceof ApiError)) return { title: "Something went wrong in this page", detail: String(error) };
  const detail = sentence(error.message);
  const code = error.code === undefined ? {} : { code: error.code };
  if (error.status === 0) return { title: "The server cannot be reached", detail: "Check that it is running and that you are online." };
  if (error.status === 401) return { title: "You are not signed in", detail, ...code };
  if (error.status === 403) return { title: "Your role does not allow this", detail, ...code };
  if (error.status === 404) return { title: "Not found", detail, ...code };
  if (error.status === 429) return { title: "Too many attempts", detail, ...code };
  if (error.status === 501) return { title: "This server does not offer it", detail, ...code };
  if (error.status >= 500) return { title: "The server failed", detail, ...code };
  return { title: "That was refused", detail, ...code };
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
