import type { ChannelMessage, LiveRequest } from "@helmr/protocol/worker";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LiveStream } from "../live-stream.ts";
import { isRefusal } from "../outcome.ts";
import { readyMount } from "./end-mount.ts";
import { type Mounts, openMounts } from "./mounts.fixture.ts";
import { liveRefusal, openLiveCall } from "./open-live.ts";

let mounts: Mounts;
const sent: ChannelMessage[] = [];
const opened: { leaseId: string; request: LiveRequest; stream: LiveStream }[] = [];
beforeAll(async () => {
  mounts = await openMounts();
  const link = {
    push: () => undefined,
    open(leaseId: string, request: LiveRequest) {
      const stream = new LiveStream(1, { send: (message) => void sent.push(message), bytes: () => undefined, over: () => undefined });
      opened.push({ leaseId, request, stream });
      return stream;
    },
  };
  mounts.engine.context.live.register(mounts.worker.workerId, link);
});
afterAll(() => mounts.engine.close());

const request = { kind: "port", port: 80 } as const;
const target = (workspaceId: string, writes = false) => ({ environmentId: mounts.engine.scope.environmentId, workspaceId, writes });

describe("openLiveCall()", () => {
  test("goes to the worker of the mount; what is not mounted is refused", async () => {
    const { context } = mounts.engine;
    const id = await mounts.workspace();
    expect(await openLiveCall(context, target(id), request)).toMatchObject({ code: "workspace_not_mounted" });
    expect(await openLiveCall(context, target("01980a00-0000-7000-8000-000000000001"), request)).toMatchObject({ status: 404 });
    const held = await mounts.mounted(id);
    const stream = await openLiveCall(context, target(id), request);
    expect(isRefusal(stream)).toBe(false);
    expect(opened.at(-1)).toMatchObject({ leaseId: held.call.leaseId, request });
    const other = { ...target(id), mountId: "01980a00-0000-7000-8000-000000000001" };
    expect(await openLiveCall(context, other, request)).toMatchObject({ code: "workspace_not_mounted" });
    await mounts.unmount(held);
  });

  test("a write starts a mount and waits for it", async () => {
    const { context } = mounts.engine;
    const id = await mounts.workspace();
    const call = openLiveCall(context, target(id, true), request);
    let held = await mounts.claim();
    while (held === undefined) held = await mounts.claim();
    await readyMount(context, held.call);
    expect(isRefusal(await call)).toBe(false);
    expect(await mounts.engine.one("select dirty_state from workspaces where id = $1", [id])).toEqual({ dirty_state: "dirty" });
    await mounts.unmount(held);
  });
});

test("every word of the guest has one of the API", () => {
  const statuses = [
    "not_found",
    "not_regular",
    "not_directory",
    "exists",
    "bad_path",
    "permission_denied",
    "no_space",
    "port_refused",
    "limit",
    "other",
  ];
  expect(statuses.map((code) => liveRefusal({ code, message: "m" }).status)).toEqual([404, 422, 422, 409, 400, 403, 507, 502, 429, 503]);
});
