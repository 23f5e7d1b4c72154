import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import type { ProcessStart } from "@helmr/protocol/guest";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testGuest, type TestGuest } from "./guest.fixture.ts";
import { TestHost } from "./test-host.fixture.ts";

let guest: TestGuest;
beforeEach(async () => {
  guest = await testGuest();
  await guest.attach();
});
afterEach(() => {
  for (let processId = 1; processId < 10; processId += 1) guest.groups.leaf(`exec-${processId}`).kill();
  guest.dispose();
});

const streams = { stdin: 20, stdout: 21, stderr: 22 };

async function start(command: string[], more: Partial<ProcessStart> = {}): Promise<number> {
  const result = (await guest.host.ok({ type: "process.start", processId: 1, command, cwd: "/workspace", env: {}, streams, ...more })) as {
    pid: number;
  };
  return result.pid;
}
const ended = (processId = 1) => guest.host.message("process.ended", (message) => message.processId === processId);

describe("an exec", () => {
  test("runs in the workspace with the image's environment, and ends with its code", async () => {
    await start(["sh", "-c", "pwd; echo $IMAGE $EXTRA $LD_PRELOAD; echo problem >&2; exit 3"], { env: { EXTRA: "extra" } });
    expect(await ended()).toMatchObject({ exitCode: 3, signal: null, reason: "exited" });
    expect(guest.host.text(21)).toBe(`${guest.workspace}\nyes extra\n`);
    expect(guest.host.text(22)).toBe("problem\n");
  });

  test("reads its input to the end, more than fits into any buffer", async () => {
    await start(["sh", "-c", "wc -c; cat /dev/null"]);
    const data = Buffer.alloc(2_000_000, 10);
    await guest.host.sendStream(20, data);
    await ended();
    expect(Number(guest.host.text(21))).toBe(2_000_000);
  });

  test("has input that came before it was started, and none when it asked for none", async () => {
    const answer = guest.host.request({ type: "process.start", processId: 1, command: ["cat"], cwd: "/workspace", env: {}, streams });
    await guest.host.sendStream(20, Buffer.from("early"));
    expect(await answer).toMatchObject({ type: "ok" });
    await ended();
    expect(guest.host.text(21)).toBe("early");
    await start(["cat"], { processId: 2, streams: { stdout: 31, stderr: 32 } });
    expect(await ended(2)).toMatchObject({ exitCode: 0 });
  });

  test("stands still while the host does not take its output", async () => {
    guest.host.acknowledging = false;
    await start(["sh", "-c", "head -c 3000000 /dev/zero; echo done >&2"]);
    await guest.host.until(() => guest.host.length(21) >= 262_144, "a window of output");
    for (let round = 0; round < 20; round += 1) await guest.host.ok({ type: "ping" });
    expect(guest.host.length(21)).toBeLessThanOrEqual(262_144 + 65_536);
    expect(guest.host.count("process.ended")).toBe(0);
    guest.host.acknowledging = true;
    guest.host.acknowledge(21);
    await ended();
    expect(guest.host.length(21)).toBe(3_000_000);
  });

  test("is signalled, killed and timed out", async () => {
    const catching = 'process.on("SIGTERM", () => process.exit(5)); console.log("ready"); setInterval(() => {}, 1000)';
    await start(["node", "-e", catching]);
    await guest.host.until(() => guest.host.text(21).includes("ready"), "its first line");
    await guest.host.ok({ type: "process.signal", processId: 1, signal: "SIGTERM" });
    expect(await ended()).toMatchObject({ exitCode: 5 });
    await start(["sleep", "100"], { processId: 2, streams: { stdout: 31 } });
    await guest.host.ok({ type: "process.signal", processId: 2, signal: "SIGKILL" });
    expect(await ended(2)).toMatchObject({ signal: "SIGKILL", reason: "killed" });
    await start(["sleep", "100"], { processId: 3, streams: { stdout: 41 }, timeoutMs: 50 });
    expect(await ended(3)).toMatchObject({ signal: "SIGKILL", reason: "timeout" });
    expect(await guest.host.refusal({ type: "process.signal", processId: 3, signal: "SIGTERM" })).toBe("not_running");
    expect(await guest.host.refusal({ type: "process.signal", processId: 9, signal: "SIGTERM" })).toBe("not_found");
  });

  test("leaves nothing running behind", async () => {
    await start(["sh", "-c", "sleep 600 & echo $!"]);
    await ended();
    const pid = Number(guest.host.text(21));
    expect(pid).toBeGreaterThan(0);
    expect(await guest.groups.leaf("exec-1").emptied()).toBe(true);
  });

  test("that cannot be started says why", async () => {
    const answer = await guest.host.request({
      type: "process.start",
      processId: 1,
      command: ["no-such-command"],
      cwd: "/workspace",
      env: {},
      streams,
    });
    expect(answer).toMatchObject({ type: "error", code: "start_failed" });
    expect(JSON.stringify(answer)).toContain("no-such-command was not found on PATH");
    const huge = { A: "x".repeat(3_000_000) };
    expect(
      await guest.host.refusal({ type: "process.start", processId: 2, command: ["true"], cwd: "/workspace", env: huge, streams }),
    ).toBe("start_failed");
  });

  test("is told again to a host that takes over until it is forgotten", async () => {
    await start(["sh", "-c", "echo out"]);
    await ended();
    guest.host.disconnect();
    const second = new TestHost();
    second.connect(guest.supervisor.link);
    const hello = await second.message("hello");
    expect(hello.state.processes).toEqual([{ processId: 1, status: "ended" }]);
    await second.message("process.ended");
    second.send({ type: "process.forget", processId: 1 });
    await second.ok({ type: "ping" });
    second.disconnect();
    const third = new TestHost();
    third.connect(guest.supervisor.link);
    expect((await third.message("hello")).state.processes).toEqual([]);
    third.disconnect();
  });
});

describe("a connection to a port", () => {
  let server: Server;
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  test("carries bytes both ways and each half's end", async () => {
    server = createServer({ allowHalfOpen: true }, (socket) => {
      const parts: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => parts.push(chunk));
      socket.on("end", () => socket.end(`you said ${Buffer.concat(parts).length} bytes`));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await guest.host.ok({ type: "port.open", port, input: 50, output: 51 });
    await guest.host.sendStream(50, Buffer.alloc(700_000));
    await guest.host.message("stream.end", (message) => message.stream === 51);
    expect(guest.host.text(51)).toBe("you said 700000 bytes");
  });

  test("that nobody accepts is refused", async () => {
    server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    expect(await guest.host.refusal({ type: "port.open", port, input: 50, output: 51 })).toBe("port_refused");
    server = createServer().listen(0);
  });
});
