import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { withNewRoot, generateKeyRing } from "../key-ring.ts";
import { openKeys } from "../secrets.ts";
import { cancelToken, completeToken, expireToken } from "./complete-token.ts";
import { checkCallbackSecret, checkPublicToken, createToken, tokenSecrets } from "./create-token.ts";
import { eachStep } from "./engine.fixture.ts";
import { listTokens, readToken } from "./read-tokens.ts";
import { expireTokens } from "../reconcilers/expire-tokens.ts";
import { wakeWaits } from "../reconcilers/wake-waits.ts";
import { type Clock, controlClock, openSessions, type Sessions } from "./sessions.fixture.ts";

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
async function create(over: Partial<Parameters<typeof createToken>[1]> = {}) {
  const input = { environmentId: environmentId(), timeoutMs: 60_000, tags: [], metadata: {}, idempotencyKey: undefined, ...over };
  const created = await createToken(sessions.context, input);
  if (isRefusal(created)) throw new TypeError(created.message);
  return created;
}
const newId = async (timeoutMs?: number) => (await create(timeoutMs === undefined ? {} : { timeoutMs })).token.id;
const complete = (tokenId: string, data: unknown, byPublicToken = false) =>
  completeToken(sessions.context, { environmentId: environmentId(), tokenId, data, byPublicToken });
const cancel = (tokenId: string) => cancelToken(sessions.context, { environmentId: environmentId(), tokenId });

describe("createToken()", () => {
  test("is pending until its timeout; a key gives the same token for ever", async () => {
    const first = await create({ idempotencyKey: "k", tags: ["a"], metadata: { m: null }, timeoutMs: 1_000 });
    expect(first).toMatchObject({ created: true, token: { state: "pending", tags: ["a"], metadata: { m: null } } });
    await clock.advance(5_000);
    const again = await create({ idempotencyKey: "k", tags: ["a"], metadata: { m: null }, timeoutMs: 1_000 });
    expect(again).toMatchObject({ created: false, token: { id: first.token.id, past_timeout: true } });
    for (const other of [{ tags: [] }, { metadata: {} }, { timeoutMs: 2_000 }]) {
      const input = { environmentId: environmentId(), tags: ["a"], metadata: { m: null }, timeoutMs: 1_000, idempotencyKey: "k", ...other };
      expect(await createToken(sessions.context, input)).toMatchObject({ status: 409, code: "idempotency_fingerprint_mismatch" });
    }
  });

  test("many at once with one key are one token", async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => create({ idempotencyKey: "race" })));
    expect(new Set(all.map(({ token }) => token.id)).size).toBe(1);
    expect(all.filter(({ created }) => created)).toHaveLength(1);
  });
});

describe("the secrets of a token", () => {
  test("are computed, the same at every look, and stay good when the key is rotated", async () => {
    const { token } = await create();
    const { keys } = sessions.context;
    const secrets = tokenSecrets(keys, token);
    expect(tokenSecrets(keys, token)).toEqual(secrets);
    expect(secrets.callback).toMatch(/^hlmr_callback_[A-Za-z0-9_-]{43}$/);
    expect(secrets.publicToken).toMatch(/^hlmr_public_access_[A-Za-z0-9_-]{65}$/);
    const ring = generateKeyRing();
    const before = openKeys(ring);
    const row = { id: token.id, secret_key_id: before.currentKeyId("tokens") };
    const after = openKeys(withNewRoot(ring, "tokens"));
    expect(tokenSecrets(after, row)).toEqual(tokenSecrets(before, row));
    expect(checkCallbackSecret(after, token.id, tokenSecrets(before, row).callback)).toBeUndefined();
    expect(checkPublicToken(after, token.id, tokenSecrets(before, row).publicToken)).toBeUndefined();
  });

  test("one of another token is denied with 403, noise with 401", async () => {
    const [one, two] = [await create(), await create()];
    const { keys } = sessions.context;
    const other = tokenSecrets(keys, two.token);
    expect(checkPublicToken(keys, one.token.id, other.publicToken)).toMatchObject({ status: 403, code: "token_scope_denied" });
    const own = tokenSecrets(keys, one.token).publicToken;
    for (const noise of [
      undefined,
      "",
      own.slice(0, -1),
      `${own}x`,
      own.toUpperCase(),
      own.replace("public_access", "callback"),
      `${own.slice(0, -1)}B`,
    ])
      expect(checkPublicToken(keys, one.token.id, noise)).toMatchObject({ status: 401, code: "token_scope_denied" });
    for (const noise of ["", other.callback, tokenSecrets(keys, one.token).callback.slice(0, -1)])
      expect(checkCallbackSecret(keys, one.token.id, noise)).toMatchObject({ status: 401, code: "token_scope_denied" });
  });
});

describe("completeToken()", () => {
  test("once; the same canonical data again is fine, other data conflicts", async () => {
    const id = await newId();
    expect(await complete(id, { b: 1, a: [1, null] })).toMatchObject({
      status: "completed",
      token: { state: "completed", data: { b: 1, a: [1, null] } },
    });
    expect(await complete(id, { a: [1, null], b: 1 })).toMatchObject({ status: "already_completed" });
    expect(await complete(id, { a: [1], b: 1 })).toMatchObject({ status: 409, code: "token_completion_conflict" });
    expect(await cancel(id)).toMatchObject({ status: 409, code: "token_completed" });
    await clock.advance(61_000);
    expect(await complete(id, { b: 1, a: [1, null] })).toMatchObject({ status: "already_completed" });
    expect(await readToken(sessions.context, environmentId(), id)).toMatchObject({ state: "completed" });
  });

  test("null is data, too", async () => {
    const id = await newId();
    await complete(id, null);
    expect(await complete(id, null)).toMatchObject({ status: "already_completed", token: { data: null } });
    expect(await complete(id, false)).toMatchObject({ code: "token_completion_conflict" });
  });

  test("what is not pending, or not there, says so", async () => {
    const [cancelled, expired] = [await newId(), await newId(1_000)];
    await cancel(cancelled);
    await clock.advance(2_000);
    expect(await complete(cancelled, 1)).toMatchObject({ status: 409, code: "token_cancelled" });
    expect(await cancel(cancelled)).toMatchObject({ status: 409, code: "token_cancelled" });
    expect(await complete(expired, 1)).toMatchObject({ status: 410, code: "token_expired" });
    expect(await sessions.one("select state from tokens where id = $1", [expired])).toEqual({ state: "expired" });
    expect(await cancel(expired)).toMatchObject({ status: 410, code: "token_expired" });
    for (const act of [complete("01980a00-0000-7000-8000-00000000ffff", 1), cancel("01980a00-0000-7000-8000-00000000ffff")])
      expect(await act).toMatchObject({ status: 404, code: "token_not_found" });
    const foreign = { environmentId: "01980a00-0000-7000-8000-00000000ffff", tokenId: await newId(), data: 1, byPublicToken: false };
    expect(await completeToken(sessions.context, foreign)).toMatchObject({ code: "token_not_found" });
  });

  test("a public token is good until thirty days after the timeout; a repeat costs no second use", async () => {
    const id = await newId(1_000);
    expect(await complete(id, 1, true)).toMatchObject({ status: "completed" });
    expect(await sessions.one("select public_token_used from tokens where id = $1", [id])).toEqual({ public_token_used: true });
    expect(await complete(id, 1, true)).toMatchObject({ status: "already_completed" });
    await clock.advance(30 * 86_400_000 + 2_000);
    expect(await complete(id, 1, true)).toMatchObject({ status: 410, code: "token_expired" });
    expect(await complete(id, 1)).toMatchObject({ status: "already_completed" });
  });

  test("every step may fail and be repeated: the token is completed once, the wait ends once", async () => {
    const failures = await eachStep(sessions, {
      setup: async () => {
        const program = await sessions.program();
        const id = await newId();
        await program.call({ kind: "wait", on: { kind: "token", token_id: id }, parkable: true });
        return { program, id };
      },
      act: ({ id }) => complete(id, { n: 1 }),
      check: async ({ program, id }) => {
        // A crash between the two transactions leaves the rest to the loop.
        await wakeWaits(sessions.context).run();
        expect(await readToken(sessions.context, environmentId(), id)).toMatchObject({ state: "completed", data: { n: 1 } });
        expect((await sessions.timeline(program.runId)).map((event) => event.kind)).toEqual([
          "run.created",
          "run_wait.created",
          "run_wait.completed",
        ]);
      },
    });
    // What fails after the commit of the token is not the caller's concern any more.
    expect(failures).toBe(8);
  }, 60_000);
});

describe("loops", () => {
  test("a token past its timeout is expired on time, and waits on it time out", async () => {
    const program = await sessions.program();
    const id = await newId(10_000);
    await program.call({ kind: "wait", on: { kind: "token", token_id: id }, parkable: true });
    const loop = expireTokens(sessions.context);
    await loop.run();
    const due = (await loop.nextDueMs?.()) ?? 0;
    expect(due).toBeGreaterThan(5_000);
    expect(due).toBeLessThanOrEqual(10_000);
    await clock.advance(10_001);
    expect(await expireToken(sessions.context, await newId())).toBe(false);
    expect(await loop.run()).toMatchObject({ changed: 1 });
    expect(await loop.run()).toMatchObject({ scanned: 0 });
    expect((await sessions.timeline(program.runId)).at(-1)).toMatchObject({ kind: "run_wait.timed_out" });
  });

  test("wakes timers and timeouts in the order of their time, and says when the next one is due", async () => {
    const program = await sessions.program();
    for (const delay of [3_000, 1_000, 600_000])
      await program.call({ kind: "wait", on: { kind: "timer", delay_ms: delay }, parkable: true });
    const loop = wakeWaits(sessions.context);
    await loop.run();
    expect(await loop.nextDueMs?.()).toBeLessThanOrEqual(1_000);
    await clock.advance(3_000);
    expect(await loop.run()).toMatchObject({ changed: 2, more: false });
    expect(await loop.nextDueMs?.()).toBeGreaterThan(500_000);
    expect(sessions.hinted).toContain("reconcile:wake-waits");
    await sessions.complete(program.held);
    expect(await loop.nextDueMs?.()).toBeUndefined();
  });
});

describe("listTokens()", () => {
  test("pages from the oldest, by status, across those nobody has swept", async () => {
    const { id: environment } = await sessions.one<{ id: string }>("select id from environments where id <> $1 limit 1", [environmentId()]);
    const ids: string[] = [];
    for (let index = 0; index < 7; index += 1)
      ids.push((await create({ environmentId: environment, timeoutMs: index % 2 === 0 ? 1_000 : 600_000 })).token.id);
    await completeToken(sessions.context, { environmentId: environment, tokenId: ids[1] as string, data: 1, byPublicToken: false });
    await cancelToken(sessions.context, { environmentId: environment, tokenId: ids[3] as string });
    await expireToken(sessions.context, ids[0] as string);
    await clock.advance(1_500);
    await expireToken(sessions.context, ids[2] as string);
    const page = async (over: object = {}) => {
      const found = await listTokens(sessions.context, {
        environmentId: environment,
        status: undefined,
        cursor: undefined,
        limit: 100,
        ...over,
      });
      if (isRefusal(found)) throw new TypeError(found.message);
      return {
        ids: found.tokens.map((token) => ids.indexOf(token.id)),
        next: found.next === undefined ? undefined : ids.indexOf(found.next),
      };
    };
    expect(await page()).toEqual({ ids: [0, 1, 2, 3, 4, 5, 6], next: undefined });
    expect(await page({ limit: 3 })).toEqual({ ids: [0, 1, 2], next: 2 });
    expect(await page({ limit: 3, cursor: ids[2] })).toEqual({ ids: [3, 4, 5], next: 5 });
    expect(await page({ limit: 3, cursor: ids[5] })).toEqual({ ids: [6], next: undefined });
    expect(await page({ status: "pending" })).toEqual({ ids: [5], next: undefined });
    expect(await page({ status: "completed" })).toEqual({ ids: [1], next: undefined });
    expect(await page({ status: "cancelled" })).toEqual({ ids: [3], next: undefined });
    expect(await page({ status: "expired" })).toEqual({ ids: [0, 2, 4, 6], next: undefined });
    expect(await page({ status: "expired", limit: 2, cursor: ids[0] })).toEqual({ ids: [2, 4], next: 4 });
    expect(
      await listTokens(sessions.context, { environmentId: environment, status: undefined, cursor: await newId(), limit: 1 }),
    ).toMatchObject({ status: 400 });
  });
});
