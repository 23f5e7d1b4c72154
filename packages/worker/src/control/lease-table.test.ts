import { randomUUID } from "node:crypto";
import type { Directive, Lease } from "@helmr/protocol/worker";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { until } from "@helmr/test/services";
import { CapacityLedger } from "../host/capacity-ledger.ts";
import { ApiServer } from "../testing/api-server.ts";
import { runLeaseOfTest } from "../testing/leases.ts";
import { Channel } from "./channel.ts";
import { ClaimLoop } from "./claim-loop.ts";
import { WorkerClient } from "./client.ts";
import { LeaseTable } from "./lease-table.ts";

let api: ApiServer;
let client: WorkerClient;
let table: LeaseTable;
let drains: number;

beforeEach(async () => {
  api = await ApiServer.start();
  client = new WorkerClient({ url: api.url, credential: "c", limits: { firstPauseMs: 2, pauseMaxMs: 20 } });
  drains = 0;
  table = new LeaseTable({ client, epoch: 4, renewMs: 30, onDrain: () => (drains += 1) });
});
afterEach(async () => {
  table.stop();
  client.close();
  await api.close();
});

type RenewBody = { epoch: number; leases: { lease_id: string; fence: number; active_ms?: number; open_calls?: number[] }[] };
const answerRenewals = (answer: (leaseId: string) => object, drain = false) =>
  api.routes.set("/renew", ({ body }) => ({
    body: { results: (body as RenewBody).leases.map((one) => ({ lease_id: one.lease_id, ...answer(one.lease_id) })), drain },
  }));
const lostReason = (signal: AbortSignal) =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason), { once: true }));

describe("renewal", () => {
  test("is one call for all leases, says what the holder reports, and moves deadlines and tells the guest", async () => {
    answerRenewals(() => ({ state: "held", ttl_ms: 5_000, directives: [] }));
    const one = table.add(runLeaseOfTest({ ttl_ms: 200 }), performance.now());
    const two = table.add(runLeaseOfTest({ ttl_ms: 200 }), performance.now());
    let told = 0;
    one.onExtended(() => (told += 1));
    one.report = { activeMs: () => 12.4, openCalls: () => [3, 4] };
    const running = table.run();
    await until("two renewals", () => api.count("/renew") >= 2);
    const body = api.calls[0]!.body as RenewBody;
    expect(body).toEqual({ epoch: 4, leases: [{ ...one.fenced, active_ms: 12, open_calls: [3, 4] }, two.fenced] });
    expect(one.leftMs()).toBeGreaterThan(3_000);
    expect(told).toBeGreaterThan(0);
    expect(one.lost.aborted || two.lost.aborted).toBe(false);
    table.stop();
    await running;
  });

  test("a stale lease is lost at once, the others are not", async () => {
    const one = table.add(runLeaseOfTest(), performance.now());
    const two = table.add(runLeaseOfTest(), performance.now());
    answerRenewals((id) => (id === one.id ? { state: "stale" } : { state: "held", ttl_ms: 60_000, directives: [] }));
    void table.run();
    expect(await lostReason(one.lost)).toBe("stale");
    expect(two.lost.aborted).toBe(false);
  });

  test("a server that is away for less than the lease costs nothing; longer, and the lease has expired", async () => {
    answerRenewals(() => ({ state: "held", ttl_ms: 400, directives: [] }));
    const held = table.add(runLeaseOfTest({ ttl_ms: 400 }), performance.now());
    void table.run();
    await until("a renewal", () => api.count("/renew") > 0);
    api.fault = () => "refuse";
    await new Promise((resolve) => setTimeout(resolve, 150)); // shorter than the lease: this is the outage
    api.fault = () => undefined;
    const before = api.count("/renew");
    await until("renewals after the outage", () => api.count("/renew") > before);
    expect(held.lost.aborted).toBe(false);
    api.fault = () => 503;
    expect(await lostReason(held.lost)).toBe("expired");
  });

  test("directives reach the holder over both ways, also those that came before it listened", async () => {
    const held = table.add(runLeaseOfTest(), performance.now());
    const cancel: Directive = { type: "cancel", lease_id: held.id, force: false, reason: "stop" };
    table.direct(cancel);
    const seen: Directive[] = [];
    held.onDirective((directive) => seen.push(directive));
    expect(seen).toEqual([cancel]);
    answerRenewals(() => ({ state: "held", ttl_ms: 60_000, directives: [{ ...cancel, force: true }] }), true);
    void table.run();
    await until("the directive of the renewal", () => seen.length >= 2);
    expect(seen[1]).toMatchObject({ force: true });
    expect(drains).toBeGreaterThan(0);
    table.direct({ type: "fenced", lease_id: held.id });
    expect(held.lossReason).toBe("fenced");
    table.direct({ type: "unmount", lease_id: randomUUID() }); // of a lease that is not here
  });

  test("a released lease is not renewed and cannot be lost any more", async () => {
    const held = table.add(runLeaseOfTest({ ttl_ms: 20 }), performance.now());
    table.remove(held);
    void table.run();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(held.lost.aborted).toBe(false);
    expect(api.count("/renew")).toBe(0);
  });
});

describe("claiming", () => {
  const total = { milli_cpu: 2000, memory_mib: 1000, disk_mib: 10_000, slots: 2 };

  let mounted = false;
  function loop(onLeases: (leases: Lease[]) => void, onRefused: (message: string) => void = () => {}) {
    const ledger = new CapacityLedger(total, 50);
    const claims = new ClaimLoop({
      client,
      epoch: 4,
      ledger,
      kinds: ["run"],
      warm: () => ({ images: ["helmr/node:24"], workspaces: [], checkpoints: [] }),
      held: () => table.ids(),
      mounted: () => mounted,
      room: (free) => free,
      onLeases,
      onRefused,
    });
    return { ledger, claims };
  }

  test("asks with what is free, takes several leases, stops when nothing is free, and goes on when something is", async () => {
    const leases = [runLeaseOfTest(), runLeaseOfTest()];
    const bodies: { free: typeof total; held: string[]; wait_ms: number }[] = [];
    api.routes.set("/claim", async ({ body }) => {
      bodies.push(body as (typeof bodies)[0]);
      if (bodies.length === 1) return { body: { leases } };
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { body: { leases: [] } };
    });
    const { ledger, claims } = loop((granted) => {
      for (const lease of granted) {
        table.add(lease, performance.now());
        ledger.take(lease.lease_id, lease.needs);
      }
    });
    const running = claims.run();
    await until("both leases", () => ledger.leases === 2);
    expect(bodies[0]!.free).toEqual({ milli_cpu: 2000, memory_mib: 950, disk_mib: 10_000, slots: 2 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(bodies).toHaveLength(1);
    ledger.release(leases[0]!.lease_id);
    await until("the next claim", () => bodies.length >= 2);
    expect(bodies[1]!.held).toEqual(leases.map((lease) => lease.lease_id));
    expect(bodies[1]!.free).toEqual({ milli_cpu: 1000, memory_mib: 1000 - 306 - 50, disk_mib: 9_936, slots: 1 });
    expect(bodies[1]!.wait_ms).toBeLessThan(bodies[0]!.wait_ms);
    claims.stop();
    await running;
  });

  test("with a mount here it asks although nothing is free, until something is", async () => {
    mounted = true;
    const run = { ...runLeaseOfTest(), in_mount: { lease_id: "01980a00-0000-7000-8000-000000000001" } };
    const bodies: { free: typeof total }[] = [];
    const { ledger, claims } = loop((granted) => granted.forEach((lease) => table.add(lease, performance.now())));
    api.routes.set("/claim", async ({ body }) => {
      bodies.push(body as (typeof bodies)[0]);
      if (bodies.length === 1) return { body: { leases: [run] } };
      // As long as the worker waits.
      if (bodies.length === 2) await new Promise((resolve) => setTimeout(resolve, 5_000));
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { body: { leases: [] } };
    });
    ledger.take("mount", { milli_cpu: 2000, memory_mib: 500, disk_mib: 10 });
    const running = claims.run();
    await until("the run, and another claim", () => table.ids().includes(run.lease_id) && bodies.length === 2);
    expect(bodies[1]!.free).toEqual({ milli_cpu: 0, memory_mib: 0, disk_mib: 0, slots: 0 });
    ledger.release("mount");
    await until("a claim with what is free", () => bodies.length >= 3, 4_000);
    expect(bodies[2]!.free).toMatchObject({ milli_cpu: 2000, slots: 2 });
    claims.stop();
    await running;
    mounted = false;
  });

  test("a claim without an answer is made again, and a refused one is told", async () => {
    let faults = 2;
    api.fault = () => (faults-- > 0 ? "lost" : undefined);
    const granted: Lease[] = [];
    const refusals: string[] = [];
    api.routes.set("/claim", () =>
      granted.length === 0 ? { body: { leases: [runLeaseOfTest()] } } : { status: 401, body: { error: "unknown credential" } },
    );
    const { claims } = loop(
      (leases) => granted.push(...leases),
      (message) => refusals.push(message),
    );
    const running = claims.run();
    await until("a refusal", () => refusals.length > 0);
    expect(granted).toHaveLength(1);
    expect(refusals[0]).toMatch(/401.*unknown credential/);
    claims.stop();
    await running;
  });
});

describe("the channel", () => {
  test("brings messages with the credential, ignores what it does not know, and comes back", async () => {
    const seen: unknown[] = [];
    let opened = 0;
    let authorization: string | undefined;
    api.onSocket = (socket, headers) => {
      authorization = headers.authorization;
      socket.send("no json");
      socket.send(JSON.stringify({ type: "of the future" }));
      socket.send(JSON.stringify({ type: "drain" }));
    };
    const channel = new Channel({
      client,
      onMessage: (message) => seen.push(message),
      onBytes: () => undefined,
      onClose: () => undefined,
      onOpen: () => (opened += 1),
    });
    const running = channel.run();
    await until("the first message", () => seen.length === 1);
    expect(seen).toEqual([{ type: "drain" }]);
    expect(authorization).toBe("Bearer c");
    for (const socket of api.sockets) socket.terminate();
    await until("the second connection", () => opened === 2);
    channel.stop();
    await running;
    await until("no connection", () => api.sockets.size === 0);
  });
});
