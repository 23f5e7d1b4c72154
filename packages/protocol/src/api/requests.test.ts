/** What each resource accepts and refuses, where the rule is easy to get wrong. */
import { describe, expect, test } from "vitest";
import type * as z from "zod";
import { parseInput } from "../shared/index.ts";
import {
  apiEndpoints,
  apiKeyCreateBody,
  apiKeyScopes,
  byteWriteBody,
  deploymentMetadataBody,
  deploymentRef,
  environmentBody,
  execCreateBody,
  externalIdQuery,
  fileListQuery,
  fileQuery,
  fillPath,
  githubStartBody,
  invitationCreateBody,
  isTimeZone,
  magicLinkStartBody,
  memberUpdateBody,
  ptyCreateBody,
  ptyResizeBody,
  publicAccessTokenCreateBody,
  runCancelBody,
  scheduleCreateBody,
  schedulePutBody,
  scopeParams,
  secretPutBody,
  sessionStartAndWaitBody,
  sessionStartBody,
  sessionUpdateBody,
  streamAppendBody,
  streamListQuery,
  tokenCompleteBody,
  tokenCreateBody,
  userCode,
  workspaceCreateBody,
  workspaceStopBody,
} from "./index.ts";

const uuid = "01980a00-0000-7000-8000-0000000000aa";
const text = (schema: z.ZodType, input: unknown): string | undefined => {
  const parsed = parseInput(schema, input);
  return parsed.ok ? undefined : parsed.text;
};
const value = <S extends z.ZodType>(schema: S, input: unknown): z.output<S> => schema.parse(input);

describe("session start", () => {
  test.each(["options", "bundle", "source", "deployment_id", "version"])("refuses the key %s, whatever it holds", (key) => {
    for (const given of [null, "", {}, "x"])
      expect(text(sessionStartBody, { task_id: "a", [key]: given })).toBe(`${key} is not accepted for session start`);
    expect(text(sessionStartAndWaitBody, { task_id: "a", [key]: 1 })).toBe(`${key} is not accepted for session start`);
  });
  test("ignores what it does not know, also inside", () => {
    expect(value(sessionStartBody, { task_id: "a", foo: 1, queue: { name: "q", foo: 1 } })).toEqual({
      task_id: "a",
      payload: {},
      metadata: {},
      tags: [],
      queue: { name: "q" },
    });
  });
  test("a payload may be null and is {} when absent", () => {
    expect(value(sessionStartBody, { task_id: "a", payload: null }).payload).toBeNull();
    expect(value(sessionStartBody, { task_id: "a" }).payload).toEqual({});
  });
  test("a task id is needed", () => {
    expect(text(sessionStartBody, {})).toBe("task_id is required");
    expect(text(sessionStartBody, { task_id: "" })).toContain("task_id must");
  });
  test.each([
    [{ enabled: false }, { enabled: false }],
    [{ enabled: false, maxAttempts: 3 }, { enabled: false }],
    [{ maxAttempts: 1 }, { enabled: true, maxAttempts: 1 }],
    [
      { enabled: true, maxAttempts: 10, backoff: { minMs: 1, maxMs: 2, factor: 0.5, jitter: "none" } },
      { enabled: true, maxAttempts: 10, backoff: { minMs: 1, maxMs: 2, factor: 0.5, jitter: "none" } },
    ],
  ])("retry %j", (retry, result) => expect(value(sessionStartBody, { task_id: "a", retry }).retry).toEqual(result));
  test.each([
    [{}, "retry.maxAttempts is required unless enabled is false"],
    [{ enabled: true }, "retry.maxAttempts is required unless enabled is false"],
    [{ maxAttempts: 0 }, "retry.maxAttempts must be an integer between 1 and 10"],
    [{ maxAttempts: 11 }, "retry.maxAttempts must be an integer between 1 and 10"],
    [{ maxAttempts: 2, backoff: { factor: 0 } }, "retry.backoff.factor must be greater than zero"],
    [{ maxAttempts: 2, backoff: { minMs: 0 } }, "retry.backoff.minMs must be an integer between 1 and 2147483647"],
    [{ maxAttempts: 2, backoff: { jitter: "half" } }, 'retry.backoff.jitter must be one of "none", "full"'],
    ["no", "retry must be a JSON object"],
  ])("retry %j is refused", (retry, message) => expect(text(sessionStartBody, { task_id: "a", retry })).toBe(message));
  test("timeout_seconds: 0 and absent are 30, above 300 is 300", () => {
    const seconds = (given?: number) => value(sessionStartAndWaitBody, { task_id: "a", timeout_seconds: given }).timeout_seconds;
    expect([seconds(), seconds(0), seconds(1), seconds(300), seconds(301), seconds(1e9)]).toEqual([30, 30, 1, 300, 300, 300]);
    for (const bad of [-1, 1.5, "5"])
      expect(text(sessionStartAndWaitBody, { task_id: "a", timeout_seconds: bad })).toContain("timeout_seconds must");
  });
  test("update is strict and refuses metadata that is no object", () => {
    expect(text(sessionUpdateBody, { status: "closed" })).toBe('unknown field "status"');
    expect(text(sessionUpdateBody, { metadata: null })).toBe("metadata must be a JSON object");
    expect(value(sessionUpdateBody, {})).toEqual({});
  });
  test("a blank external_id in the query is refused", () => {
    for (const given of [{}, { external_id: "" }, { external_id: "  " }])
      expect(text(externalIdQuery, given)).toBe("external_id is required");
    expect(value(externalIdQuery, { external_id: " a " })).toEqual({ external_id: "a" });
  });
});

describe("streams", () => {
  test("missing data is null and the content type has a default", () => {
    expect(value(streamAppendBody, {})).toEqual({ data: null, content_type: "application/json" });
    expect(text(streamAppendBody, { body: 1 })).toBe('unknown field "body"');
  });
  test("after_sequence and cursor mean the same", () => {
    expect(value(streamListQuery, {})).toEqual({ after: 0, limit: 100 });
    expect(value(streamListQuery, { after_sequence: "3" }).after).toBe(3);
    expect(value(streamListQuery, { cursor: "3", limit: "500" })).toEqual({ after: 3, limit: 500 });
    expect(value(streamListQuery, { cursor: "3", after_sequence: "3" }).after).toBe(3);
    expect(text(streamListQuery, { cursor: "3", after_sequence: "4" })).toContain("must be equal");
    expect(text(streamListQuery, { limit: "501" })).toBe("limit must be an integer from 1 to 500");
  });
  const scope = { type: "session.input.send", stream: "approvals", session: { type: "id", id: uuid } };
  test("public access tokens", () => {
    expect(value(publicAccessTokenCreateBody, { scope })).toEqual({ scope });
    expect(
      value(publicAccessTokenCreateBody, { scope: { ...scope, session: { type: "external_id", external_id: " a " } } }).scope.session,
    ).toEqual({ type: "external_id", external_id: "a" });
    expect(text(publicAccessTokenCreateBody, { scope, max_uses: 0 })).toContain("max_uses must be an integer between 1");
    expect(text(publicAccessTokenCreateBody, { scope: { ...scope, session: { type: "id", external_id: "a" } } })).toBe(
      "scope.session.id is required",
    );
    expect(text(publicAccessTokenCreateBody, { scope: { ...scope, session: { type: "name" } } })).toBe(
      'scope.session.type must be one of "id", "external_id"',
    );
    expect(text(publicAccessTokenCreateBody, { scope: { ...scope, type: "session.output.append" } })).toContain(
      "scope.type must be one of",
    );
  });
});

describe("tokens", () => {
  test.each([
    [1_500, 1_500],
    [0.5, 1],
    ["90s", 90_000],
    ["7d", 604_800_000],
    [{ milliseconds: 1, seconds: 1, minutes: 1, hours: 1, duration: "1h" }, 7_261_001],
    [{ hours: 0, minutes: 2 }, 120_000],
  ])("timeout %j is %i ms", (timeout, ms) => expect(value(tokenCreateBody, { timeout }).timeout).toBe(ms));
  test.each([
    [0, "timeout must be greater than zero"],
    [-1, "timeout must be greater than zero"],
    [{}, "timeout must be greater than zero"],
    ["0s", "timeout must be a duration greater than zero, such as 90s, 1h30m or 7d"],
    ["soon", "timeout must be a duration greater than zero, such as 90s, 1h30m or 7d"],
    [{ days: 1 }, 'unknown field "timeout.days"'],
    [{ hours: 2, minutes: -1 }, "timeout must have a number that is not negative in its member minutes"],
    [{ duration: "0s" }, "timeout must have a duration greater than zero, such as 1h30m, in its member duration"],
    [null, "timeout must be a number of milliseconds, a duration such as 1h30m, or a duration object"],
    [[1], "timeout must be a number of milliseconds, a duration such as 1h30m, or a duration object"],
    [1e300, "timeout must be at most 9223372036854 milliseconds"],
  ])("timeout %j is refused", (timeout, message) => expect(text(tokenCreateBody, { timeout })).toBe(message));
  test("a foreign webhook body is refused", () => {
    expect(text(tokenCompleteBody, { data: 1, event: "push" })).toBe('unknown field "event"');
    expect(value(tokenCompleteBody, {})).toEqual({ data: null });
  });
  test("32 tags", () => {
    const many = Array.from({ length: 33 }, (_, at) => `t${at}`);
    expect(text(tokenCreateBody, { tags: many.slice(1) })).toBeUndefined();
    expect(text(tokenCreateBody, { tags: many })).toBe("tags must have at most 32 entries");
  });
  test("status and state are one filter", () => {
    const query = apiEndpoints.tokens.list.query!;
    expect(value(query, { state: "pending" })).toEqual({ status: "pending", limit: 100 });
    expect(text(query, { state: "pending", status: "expired" })).toContain("must be equal");
    expect(text(query, { cursor: "3" })).toBe("cursor must be a UUID");
  });
});

describe("runs", () => {
  test("list filters", () => {
    const query = apiEndpoints.runs.list.query!;
    expect(value(query, {})).toEqual({ status: "live", limit: 100 });
    expect(text(query, { status: "dead_lettered" })).toContain("status must be one of");
    expect(value(query, { unknown: "1", session_id: uuid })).toEqual({ status: "live", limit: 100, session_id: uuid });
  });
  test("logs take records and nothing else as format", () => {
    const query = apiEndpoints.runs.logs.query!;
    expect(value(query, { format: "records", cursor: "9" })).toEqual({ format: "records", cursor: 9, limit: 200, follow: false });
    expect(text(query, { format: "text" })).toBe('format must be one of "records"');
  });
  test("cancel is strict", () => expect(text(runCancelBody, { force: 1 })).toBe("force must be true or false"));
});

describe("schedules", () => {
  const body = { deduplication_key: "daily", task: "a", cron: "0 9 * * *" };
  test("cron has exactly five fields", () => {
    expect(value(scheduleCreateBody, { ...body, cron: "  */5  9-17 1,15 JAN mon-fri " }).cron).toBe("*/5 9-17 1,15 JAN mon-fri");
    for (const cron of ["@daily", "0 0 9 * * *", "0 9 * *", "", "TZ=UTC 9 * * *"])
      expect(text(scheduleCreateBody, { ...body, cron })).toContain("cron must have exactly five fields");
  });
  test("time zones", () => {
    expect(value(scheduleCreateBody, body).timezone).toBe("UTC");
    expect(value(scheduleCreateBody, { ...body, timezone: "utc" }).timezone).toBe("UTC");
    expect(value(scheduleCreateBody, { ...body, timezone: "America/Argentina/Buenos_Aires" }).timezone).toBe(
      "America/Argentina/Buenos_Aires",
    );
    for (const zone of ["+01:00", "Mars/Olympus", "Europe / Berlin"]) expect(isTimeZone(zone), zone).toBe(false);
  });
  test("options ignore what they do not know but refuse deployment_id and version", () => {
    expect(value(scheduleCreateBody, { ...body, options: { x: 1, max_duration_seconds: 0, ttl: "1h" } }).options).toEqual({ ttl: "1h" });
    for (const key of ["deployment_id", "version"]) {
      expect(text(scheduleCreateBody, { ...body, options: { [key]: "" } })).toBe(`options.${key} is not accepted for schedules`);
    }
  });
  test("put takes no deduplication_key, create needs one", () => {
    expect(text(schedulePutBody, body)).toBe('unknown field "deduplication_key"');
    expect(text(scheduleCreateBody, { ...body, deduplication_key: undefined })).toBe("deduplication_key is required");
  });
});

describe("deployments and secrets", () => {
  const content_hash = `sha256:${"a".repeat(64)}`;
  test("blank and 0 mean the current version", () => {
    const current = { content_hash, api_version: "2026-06-06", bundle_format_version: 2, worker_protocol_version: "helmr.worker.v1" };
    expect(value(deploymentMetadataBody, { content_hash, api_version: "", bundle_format_version: 0, worker_protocol_version: "" })).toEqual(
      current,
    );
    expect(value(deploymentMetadataBody, current)).toEqual(current);
    expect(text(deploymentMetadataBody, { content_hash, bundle_format_version: 1 })).toBe("bundle_format_version must be 2");
    expect(text(deploymentMetadataBody, { content_hash, api_version: "2020-01-01" })).toBe("api_version must be 2026-06-06");
    expect(text(deploymentMetadataBody, { content_hash: "sha256:AA" })).toBe("content_hash must be sha256: and 64 hexadecimal digits");
  });
  test("promote takes an id or a version", () => {
    for (const good of [uuid, "20260606.12"]) expect(value(deploymentRef, good)).toBe(good);
    for (const bad of ["latest", "2026.1", "20260606", ""]) expect(text(deploymentRef, bad)).toBe("invalid deployment id or version");
  });
  test("a secret may hold any text that has bytes", () => {
    expect(value(secretPutBody, { value: "\0\n" })).toEqual({ value: "\0\n" });
    expect(text(secretPutBody, { value: "\uD800" })).toContain("value must not contain");
    expect(text(apiEndpoints.secrets.put.params!, { name: "-a" })).toContain("name must be a secret name");
    expect(text(apiEndpoints.secrets.get.params!, { name: "-a" })).toBeUndefined();
  });
});

describe("workspaces, files, execs, terminals", () => {
  test("workspace bodies", () => {
    expect(text(workspaceCreateBody, { sandbox_id: "  " })).toBe("sandbox_id must not be blank");
    expect(text(workspaceCreateBody, {})).toBe("sandbox_id is required");
    expect(text(workspaceCreateBody, { sandbox_id: "a", deployment_id: "b" })).toBe("deployment_id must be a UUID");
    expect(text(workspaceStopBody, { idempotency_key_ttl: "x" })).toContain("idempotency_key_ttl must be a duration");
  });
  test.each([
    ["a", "a"],
    ["./a//b/", "a/b"],
    [".", "."],
    ["", "."],
    ["a..b/...", "a..b/..."],
  ])("path %j is %j", (path, normal) => expect(value(fileListQuery, { path }).path).toBe(normal));
  test.each(["/a", "..", "a/../b", "a/..", "\0"])("path %j is refused", (path) => {
    expect(text(fileListQuery, { path })).toContain("path must");
    expect(text(fileQuery, { path })).toContain("path must");
  });
  test("stat and content need a path", () => {
    for (const query of [{}, { path: "" }]) expect(text(fileQuery, query)).toBe("path is required");
    expect(value(fileListQuery, {})).toEqual({ path: ".", source: "current", limit: 200 });
  });
  test.each([
    [{ source: "version" }, "workspace_version_id_required"],
    [{ version_id: uuid }, "workspace_version_id_unexpected"],
    [{ source: "live", version_id: uuid }, "workspace_version_id_unexpected"],
    [{ workspace_mount_id: uuid }, "workspace_mount_id_unexpected"],
    [{ source: "version", version_id: uuid, workspace_mount_id: uuid }, "workspace_mount_id_unexpected"],
  ])("source rules: %j has the code %s", (query, code) => {
    expect(parseInput(fileQuery, { path: "a", ...query })).toMatchObject({ ok: false, code });
  });
  test("exec", () => {
    expect(value(execCreateBody, { command: ["ls"] })).toEqual({ command: ["ls"], detached: false });
    expect(text(execCreateBody, { command: ["ls", "\t"] })).toBe("command[1] must not be blank");
    expect(text(execCreateBody, { command: ["a\0"] })).toBe("command[0] must not contain NUL characters");
    expect(text(execCreateBody, { command: [] })).toBe("command must not be empty");
    for (const cwd of ["a", "/a/..", ""])
      expect(text(execCreateBody, { command: ["ls"], cwd })).toBe("cwd must be an absolute path without ..");
    expect(text(execCreateBody, { command: ["ls"], env: { "A=B": "" } })).toContain("must have a name without =");
    expect(text(execCreateBody, { command: ["ls"], env: { A: "\0" } })).toBe("env.A must not contain NUL characters");
    expect(text(execCreateBody, { command: ["ls"], filesystem_mode: "write" })).toBe('unknown field "filesystem_mode"');
  });
  test("stdin", () => {
    expect(text(byteWriteBody, { offset: -1, data: "aGk=" })).toBe("offset must be an integer that is not negative");
    expect(text(byteWriteBody, { offset: 0, data: "hi" })).toBe("data must be base64 with padding and not be empty");
    expect(text(byteWriteBody, { offset: 0, data: "A".repeat(4 * 1024 * 1024) })).toBeUndefined();
  });
  test("terminal sizes", () => {
    expect(value(ptyCreateBody, { cols: 0, rows: 0 })).toEqual({ cols: 80, rows: 24 });
    expect(text(ptyCreateBody, { cols: 501, rows: 1 })).toContain("cols must be an integer between 0 and 500");
    expect(text(ptyResizeBody, { cols: 0, rows: 1 })).toContain("cols must be an integer between 1 and 500");
  });
});

describe("accounts", () => {
  test("API keys", () => {
    const key = { name: " ci ", expires_in_days: null, permissions: [{ scopes: apiKeyScopes }] };
    expect(value(apiKeyCreateBody, key).name).toBe("ci");
    for (const days of [30, 90, 365]) expect(text(apiKeyCreateBody, { ...key, expires_in_days: days })).toBeUndefined();
    for (const days of [31, 0, "30"])
      expect(text(apiKeyCreateBody, { ...key, expires_in_days: days })).toBe("expires_in_days must be one of 30, 90, 365, null");
    expect(text(apiKeyCreateBody, { ...key, permissions: [{ scopes: ["projects:manage"] }] })).toBe('unknown scope "projects:manage"');
    for (const permissions of [[], [{ scopes: [] }]])
      expect(text(apiKeyCreateBody, { ...key, permissions })).toBe("permissions must hold at least one scope");
    expect(text(apiKeyCreateBody, { ...key, name: "x".repeat(65) })).toBe("name must have 1 to 64 characters");
  });
  test("colours are stored in upper case", () => {
    const body = { slug: "a", name: "A", color_hex: "#aabbcc" };
    expect(value(environmentBody, body).color_hex).toBe("#AABBCC");
    for (const color_hex of ["aabbcc", "#abc", "#aabbcg"])
      expect(text(environmentBody, { ...body, color_hex })).toContain("color_hex must be a colour");
    expect(text(environmentBody, { slug: "a", name: "A" })).toBe("color_hex is required");
  });
  test.each(["/", "/runs?status=all#x", "/a//b"])("next may be %s", (next) => expect(text(githubStartBody, { next })).toBeUndefined());
  test.each(["", "runs", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "/a\\b", "/\n"])(
    "next may not be %j",
    (next) => {
      expect(text(githubStartBody, { next })).toContain("next must be a path of this server");
    },
  );
  test("addresses are lower case", () => {
    expect(value(magicLinkStartBody, { email: " Ada@Example.COM " }).email).toBe("ada@example.com");
    expect(value(magicLinkStartBody, { email: "root@localhost" }).email).toBe("root@localhost");
    for (const email of ["", "ada", "ada@", "a b@example.com", "a@b@c.de", "a@example.com.", "a@x.com\r\nBcc: b@x.com"]) {
      expect(text(magicLinkStartBody, { email }), email).toBe("email must be an e-mail address");
    }
  });
  test("user codes are forgiving", () => {
    for (const given of ["ABCD-EFGH", "abcdefgh", " abcd efgh "]) expect(value(userCode, given)).toBe("ABCD-EFGH");
    expect(text(userCode, "ABCD-EFG")).toContain("must look like ABCD-EFGH");
  });
  test("roles and invitations", () => {
    expect(text(memberUpdateBody, { role: "root", expected_role: "viewer" })).toContain("role must be one of");
    expect(value(invitationCreateBody, { email: "a@b.de", role: "viewer" }).expires_in_days).toBe(7);
    for (const expires_in_days of [0, 31, 1.5])
      expect(text(invitationCreateBody, { email: "a@b.de", role: "viewer", expires_in_days })).toContain("between 1 and 30");
  });
  test("the scope in a path is a UUID or a slug", () => {
    expect(text(scopeParams, { project: "shop", environment: uuid })).toBeUndefined();
    expect(text(scopeParams, { project: "Shop", environment: uuid })).toBe("invalid project id");
  });
  test("fillPath() encodes what it fills in", () => {
    expect(fillPath("/sessions/{id}/inputs/{stream}", { id: "1", stream: "a/b ?" })).toBe("/sessions/1/inputs/a%2Fb%20%3F");
  });
});
