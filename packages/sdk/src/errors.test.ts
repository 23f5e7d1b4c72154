import { expect, test } from "vitest";
import {
  AuthError,
  ConcurrentWaitError,
  HelmrApiError,
  PayloadSchemaValidationError,
  WaitCancelledError,
  WaitTimeoutError,
  WorkspaceStreamError,
} from "./errors.ts";

test("texts that callers may rely on", () => {
  expect(new AuthError().message).toBe("Helmr authentication failed");
  const error = new HelmrApiError(409, '{"error":"gone","code":"session_terminal"}');
  expect(error.message).toBe('Helmr API 409: {"error":"gone","code":"session_terminal"}');
  expect(error.status).toBe(409);
  expect(new WaitTimeoutError(30).timeout).toBe(30);
  expect(new WaitTimeoutError(undefined).timeout).toBeUndefined();
  const streamError = new WorkspaceStreamError({ code: "workspace_stream_cursor_expired", cursor: 7 });
  expect([streamError.code, streamError.cursor]).toEqual(["workspace_stream_cursor_expired", 7]);
});

test("PayloadSchemaValidationError shows paths and the first five issues", () => {
  const issues = [
    { message: "Required", path: ["items", 0, { key: "name" }] },
    { message: "Not an object" },
    ...[1, 2, 3, 4, 5].map((number) => ({ message: `m${number}`, path: [number] })),
  ];
  const error = new PayloadSchemaValidationError('payload of task "x"', issues);
  expect(error.message).toBe(
    'payload of task "x" failed validation: payload.items[0].name: Required; payload: Not an object; payload[1]: m1; payload[2]: m2; payload[3]: m3; and 2 more',
  );
  expect(error.issues).toBe(issues);
});

test("branded errors of another copy are instances; subclasses keep the language's rule", () => {
  class OtherCopy extends Error {}
  Object.defineProperty(OtherCopy.prototype, Symbol.for("helmr.sdk.WaitTimeoutError"), { value: true });
  expect(new OtherCopy()).toBeInstanceOf(WaitTimeoutError);
  expect(new OtherCopy()).not.toBeInstanceOf(ConcurrentWaitError);
  class OwnTimeout extends WaitTimeoutError {}
  expect(new OwnTimeout(1)).toBeInstanceOf(OwnTimeout);
  expect(new OwnTimeout(1)).toBeInstanceOf(WaitTimeoutError);
  expect(new WaitTimeoutError(1)).not.toBeInstanceOf(OwnTimeout);
  for (const value of [null, undefined, 1, "x", {}]) expect(value instanceof WaitCancelledError).toBe(false);
});
