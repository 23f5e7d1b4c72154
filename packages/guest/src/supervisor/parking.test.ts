import { guestStreams } from "@helmr/protocol/guest";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { attachRequest, testGuest, type TestGuest } from "./guest.fixture.ts";

let guest: TestGuest;
beforeEach(async () => {
  guest = await testGuest();
  await guest.attach();
});
afterEach(() => guest.dispose());

const waiting = `export const example = declare(async () => { console.log("before"); await timers.waitFor({ seconds: 60 }); console.log("after"); return "done"; });`;
const resumed = () => {
  const { disks: _disks, ...rest } = attachRequest();
  return { ...rest, resumed: true };
};

describe("a machine that is parked", () => {
  test("stands still with everything said, and goes on behind another host's attach", async () => {
    await guest.start(waiting);
    const call = await guest.host.message("program.call");
    await guest.host.ok({ type: "park.prepare" });
    expect(guest.calls.at(-1)).toBe(`freeze ${guest.workspace} ${guest.root.replace(/root$/, "scratch")}`);
    expect(guest.host.text(guestStreams.stdout)).toBe("before\n");
    const said = guest.host.messages.length;
    // Nothing is said any more, not even to a program that would go on.
    guest.host.send({ type: "program.answer", callId: call.callId, outcome: { ok: true, value: { kind: "timer", status: "completed" } } });
    guest.host.send({ type: "lease.extend", leaseMs: 60_000 });
    await guest.host.ok(resumed());
    expect(guest.host.messages.slice(said).map((message) => message.type)[0]).toBe("ok");
    expect(guest.attached.at(-1)?.machine).toEqual({
      kind: "resumed",
      thaw: [guest.workspace, guest.root.replace(/root$/, "scratch")],
      thawGroup: "tenant",
    });
    guest.groups.leaf("run");
    await guest.tool.thaw([], "tenant");
    expect(await guest.host.message("run.ended")).toMatchObject({ reason: "returned" });
    expect(guest.host.text(guestStreams.stdout)).toBe("before\nafter\n");
  });

  test("repeats its open calls after the restore, with the same id", async () => {
    await guest.start(waiting);
    const call = await guest.host.message("program.call");
    await guest.host.ok({ type: "park.prepare" });
    await guest.host.ok(resumed());
    await guest.host.until(() => guest.host.count("program.call") === 2, "the call again");
    expect(guest.host.messages.filter((message) => message.type === "program.call")[1]).toEqual(call);
  });

  test("goes on after park.abort", async () => {
    await guest.start(waiting);
    const call = await guest.host.message("program.call");
    await guest.host.ok({ type: "park.prepare" });
    expect(await guest.host.ok({ type: "park.abort" })).toBeUndefined();
    guest.host.send({ type: "program.answer", callId: call.callId, outcome: { ok: true, value: { kind: "timer", status: "completed" } } });
    expect(await guest.host.message("run.ended")).toMatchObject({ reason: "returned" });
  });

  test("is not parked while the host has not taken its output", async () => {
    guest.host.acknowledging = false;
    await guest.start(waiting);
    await guest.host.message("program.call");
    const answer = await guest.host.request({ type: "park.prepare" });
    expect(answer).toMatchObject({ type: "error", code: "sync_failed", retryable: true });
    expect(guest.calls.at(-1)).toMatch(/^thaw/);
  }, 20_000);

  test("says retryable when the freeze fails, and stays live", async () => {
    await guest.start(waiting);
    const call = await guest.host.message("program.call");
    guest.fail.add("freeze");
    expect(await guest.host.request({ type: "park.prepare" })).toMatchObject({ code: "sync_failed", retryable: true });
    guest.host.send({ type: "program.answer", callId: call.callId, outcome: { ok: true, value: { kind: "timer", status: "completed" } } });
    expect(await guest.host.message("run.ended")).toMatchObject({ reason: "returned" });
  });

  test("thaws for a cancel", async () => {
    await guest.start(waiting);
    await guest.host.message("program.call");
    await guest.host.ok({ type: "park.prepare" });
    const cancelled = guest.host.ok({ type: "run.cancel", force: true, reason: "", graceMs: 0 });
    await cancelled;
    expect(await guest.host.message("run.ended")).toMatchObject({ reason: "cancelled" });
  });

  test("refuses what would write to its frozen disks", async () => {
    await guest.host.ok({ type: "park.prepare" });
    await guest.host.ok({ type: "park.abort" });
    expect(await guest.host.refusal({ type: "file", operation: { kind: "stat", path: "." } })).toBe("ok");
  });
});

describe("a capture", () => {
  test("freezes and thaws the file systems, or only syncs them", async () => {
    const paths = `${guest.workspace} ${guest.root.replace(/root$/, "scratch")}`;
    await guest.host.ok({ type: "sync", freeze: false });
    await guest.host.ok({ type: "sync", freeze: true });
    await guest.host.ok({ type: "thaw" });
    expect(guest.calls.slice(-3)).toEqual([`sync ${paths}`, `freeze ${paths}`, `thaw ${paths}`]);
    await guest.host.ok({ type: "sync", freeze: true, holdMs: 3000 });
    expect(await guest.host.request({ type: "thaw" })).toMatchObject({ type: "ok", result: { heldUs: 1500, late: false } });
    await guest.host.ok({ type: "thaw" });
    expect(guest.calls.slice(-3)).toEqual([`hold 3000 ${guest.workspace}`, `release ${guest.workspace}`, `thaw ${paths}`]);
    guest.fail.add("hold");
    expect(await guest.host.request({ type: "sync", freeze: true, holdMs: 3000 })).toMatchObject({ code: "sync_failed", retryable: true });
    guest.fail.add("sync");
    expect(await guest.host.request({ type: "sync", freeze: false })).toMatchObject({ code: "sync_failed", retryable: true });
  });
});

describe("attach", () => {
  test("is refused twice, and a resume without a first one", async () => {
    expect(await guest.host.refusal(attachRequest())).toBe("bad_request");
    const bare = await testGuest();
    try {
      expect(await bare.host.refusal(resumed())).toBe("bad_request");
      bare.fail.add("attach");
      const failed = await bare.host.request(attachRequest());
      expect(failed).toMatchObject({ type: "error", code: "attach_failed" });
      expect(await bare.host.refusal(attachRequest())).toBe("ok");
    } finally {
      bare.dispose();
    }
  });

  test("gives the tool clock, entropy, name and disks", async () => {
    expect(guest.attached[0]).toMatchObject({
      hostname: "guest",
      network: false,
      machine: {
        kind: "starting",
        disks: { scratch: "/dev/vdc", workspace: { device: "/dev/vdd", path: "/workspace", owner: "root" }, task: "/dev/vde" },
      },
    });
    expect(guest.attached[0]?.entropy.length).toBe(64);
  });
});
