import type { PublicAccessScopeBody } from "@helmr/protocol/api";
import { streamAppendBody } from "@helmr/protocol/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { prunePublicAccessTokens } from "../reconcilers/expire-tokens.ts";
import { appendOutput } from "./append-stream-record.ts";
import { cancelSession } from "./cancel-session.ts";
import { createPublicAccessToken } from "./create-public-access-token.ts";
import { type Clock, controlClock, openSessions, type Sessions } from "./sessions.fixture.ts";
import { appendPublicly, readPublicly } from "./use-public-access-token.ts";

let sessions: Sessions;
let clock: Clock;
beforeAll(async () => {
  sessions = await openSessions();
  clock = await controlClock(sessions);
});
afterAll(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.close();
});

const environmentId = () => sessions.scope.environmentId;

async function create(scope: Partial<PublicAccessScopeBody> & { session: PublicAccessScopeBody["session"] }, over: object = {}) {
  return createPublicAccessToken(sessions.context, {
    environmentId: environmentId(),
    scope: { type: "session.input.send", stream: "answers", ...scope },
    expiresAt: undefined,
    maxUses: undefined,
    ...over,
  });
}

async function issued(...given: Parameters<typeof create>): Promise<string> {
  const created = await create(...given);
  if (isRefusal(created)) throw new TypeError(created.message);
  return created.text;
}

const send = (bearer: string | undefined, id: string, body: object = {}, stream = "answers") =>
  appendPublicly(sessions.context, { bearer, key: { id }, stream }, streamAppendBody.parse(body));
const read = (bearer: string | undefined, id: string, over: object = {}) =>
  readPublicly(sessions.context, { bearer, key: { id }, stream: "answers" }, { after: 0, correlationId: undefined, ...over });
const uses = async (bearer: string) => {
  const prefix = (
    await sessions.sql<{ uses: number }>("select uses from public_access_tokens where token_hash = sha256($1::text::bytea)", [bearer])
  )[0];
  return prefix?.uses;
};

describe("createPublicAccessToken()", () => {
  test("names its session by id and lives thirty days", async () => {
    const { session } = await sessions.start({ external_id: "pat-1" });
    const created = await create({ session: { type: "external_id", external_id: "pat-1" } });
    expect(created).toMatchObject({ sessionId: session.id, text: expect.stringMatching(/^hlmr_pat_[A-Za-z0-9]{49}$/) as string });
    if (isRefusal(created)) return;
    const days = (Date.parse(created.expiresAt) - (await clock.now()).getTime()) / 86_400_000;
    expect(days).toBeGreaterThan(29.99);
    expect(days).toBeLessThanOrEqual(30);
  });

  test("refuses what cannot be", async () => {
    const { session } = await sessions.start();
    const by = { session: { type: "id" as const, id: session.id } };
    expect(await create(by, { expiresAt: "2020-01-01T00:00:00Z" })).toMatchObject({ status: 410, code: "token_expired" });
    expect(await create({ ...by, stream: "nowhere" })).toMatchObject({ status: 404, code: "stream_not_found" });
    expect(await create({ ...by, type: "session.output.read", stream: "orders" })).toMatchObject({ status: 404, code: "stream_not_found" });
    expect(await create({ session: { type: "id", id: "01980a00-0000-7000-8000-00000000ffff" } })).toMatchObject({
      status: 404,
      code: "stream_not_found",
    });
    expect(await create({ session: { type: "external_id", external_id: "nobody" } })).toMatchObject({
      status: 404,
      code: "stream_not_found",
    });
  });
});

describe("a call with a public access token", () => {
  test("appends like any other, and counts a use in the same transaction", async () => {
    const program = await sessions.program({ external_id: "pat-2" });
    const bearer = await issued({ session: { type: "id", id: program.sessionId } }, { maxUses: 3 });
    expect(await send(bearer, program.sessionId, { data: 1, idempotency_key: "a" })).toMatchObject({
      created: true,
      continuation: "accepted_run_pending",
    });
    expect(await uses(bearer)).toBe(1);
    // An idempotent duplicate costs a use, a refused append none.
    expect(await send(bearer, program.sessionId, { data: 1, idempotency_key: "a" })).toMatchObject({ created: false });
    expect(await send(bearer, program.sessionId, { data: 2, idempotency_key: "a" })).toMatchObject({ status: 409 });
    expect(await uses(bearer)).toBe(2);
    expect(
      await appendPublicly(sessions.context, { bearer, key: { externalId: "pat-2" }, stream: "answers" }, streamAppendBody.parse({})),
    ).toMatchObject({ created: true });
    expect(await send(bearer, program.sessionId)).toMatchObject({ status: 403, code: "token_scope_denied" });
    expect(await uses(bearer)).toBe(3);
  });

  test("many at once never exceed the uses", async () => {
    const { session } = await sessions.start();
    const bearer = await issued({ session: { type: "id", id: session.id } }, { maxUses: 4 });
    const all = await Promise.all(Array.from({ length: 12 }, () => send(bearer, session.id)));
    expect(all.filter((answer) => !isRefusal(answer))).toHaveLength(4);
    expect(await uses(bearer)).toBe(4);
  });

  test("reads like any other; every read costs a use, also of nothing", async () => {
    const { session } = await sessions.start();
    const bearer = await issued({ type: "session.output.read", session: { type: "id", id: session.id } });
    expect(await read(bearer, session.id)).toEqual({ record: null });
    await appendOutput(sessions.context, {
      environmentId: environmentId(),
      key: { id: session.id },
      stream: "answers",
      body: { data: "hi", content_type: "application/json" },
    });
    expect(await read(bearer, session.id)).toMatchObject({ record: { data: "hi", sequence: 1 } });
    expect(await read(bearer, session.id, { after: 1 })).toEqual({ record: null });
    expect(await uses(bearer)).toBe(3);
  });

  test("is denied outside of its scope", async () => {
    const [one, two] = [await sessions.start({ external_id: "pat-3" }), await sessions.start()];
    const by = { session: { type: "id" as const, id: one.session.id } };
    const bearer = await issued(by);
    const denied = { status: 403, code: "token_scope_denied" };
    expect(await send(bearer, two.session.id)).toMatchObject(denied);
    expect(await send(bearer, one.session.id, {}, "orders")).toMatchObject(denied);
    expect(await read(bearer, one.session.id)).toMatchObject(denied);
    expect(
      await appendPublicly(sessions.context, { bearer, key: { externalId: "other" }, stream: "answers" }, streamAppendBody.parse({})),
    ).toMatchObject(denied);
    const correlated = await issued({ ...by, correlation_id: "c" });
    expect(await send(correlated, one.session.id, { correlation_id: "d" })).toMatchObject(denied);
    expect(await send(correlated, one.session.id)).toMatchObject(denied);
    expect(await send(correlated, one.session.id, { correlation_id: "c" })).toMatchObject({ created: true });
    // A scope without a correlation allows any.
    expect(await send(bearer, one.session.id, { correlation_id: "d" })).toMatchObject({ created: true });
    await sessions.sql("update public_access_tokens set revoked_at = now() where token_hash = sha256($1::text::bytea)", [bearer]);
    expect(await send(bearer, one.session.id)).toMatchObject(denied);
  });

  test("is 401 without a token that is ours, 410 with one that expired, until it is forgotten", async () => {
    const { session } = await sessions.start();
    const bearer = await issued(
      { session: { type: "id", id: session.id } },
      { expiresAt: new Date((await clock.now()).getTime() + 60_000).toISOString() },
    );
    for (const noise of [undefined, "", "hlmr_pat_x", `${bearer.slice(0, -1)}0`, bearer.replace("hlmr_pat_", "hlmr_sk_")])
      expect(await send(noise, session.id)).toMatchObject({ status: 401, code: "token_scope_denied" });
    await clock.advance(61_000);
    expect(await send(bearer, session.id)).toMatchObject({ status: 410, code: "token_expired" });
    const loop = prunePublicAccessTokens(sessions.context);
    await loop.run();
    expect(await send(bearer, session.id)).toMatchObject({ status: 410 });
    await clock.advance(30 * 86_400_000);
    await loop.run();
    expect(await send(bearer, session.id)).toMatchObject({ status: 401 });
  });

  test("meets the end of its session as everybody does, at no cost", async () => {
    const { session } = await sessions.start();
    const bearer = await issued({ session: { type: "id", id: session.id } });
    await cancelSession(sessions.context, { environmentId: environmentId(), key: { id: session.id }, reason: undefined });
    expect(await send(bearer, session.id)).toMatchObject({ status: 409, code: "session_terminal" });
    expect(await uses(bearer)).toBe(0);
  });
});
