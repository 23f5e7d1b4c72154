/**
 * Runs the paths of a start once with nothing of a tenant in them, before the template's snapshot. What the engine compiles lazily, what Node
 * loads lazily (child processes, sockets) and what libuv sets up on first use is then part of the snapshot instead of every start.
 */
import { spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { encodeMessage, FrameDecoder, guestStreams } from "@helmr/protocol/guest";
import { runStdio } from "./guest-tool.ts";
import { HostLink } from "./host-link.ts";
import { serveWire } from "./host-wire.ts";
import { ProgramLink } from "./program-link.ts";

const rounds = 3;

export async function warmUp(): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    warmFrames();
    await warmSpawn();
  }
  // Leaves a small, compact heap behind when the collector is in reach.
  (globalThis as { gc?: () => void }).gc?.();
}

function warmFrames(): void {
  const link = new HostLink({
    hello: () => ({
      type: "hello",
      protocol: 1,
      supervisor: "warm-up",
      bootId: "",
      state: { attached: false, fenced: false, parked: false, run: null, building: false, processes: [] },
    }),
    repeat: () => {},
    message: () => {},
  });
  const nowhere = new Duplex({ read: () => {}, write: (_chunk, _encoding, callback) => callback() });
  serveWire(nowhere, link);
  const stream = link.openOutgoing(guestStreams.stdout);
  stream.write(Buffer.from("line\n"));
  link.receive(encodeMessage({ type: "stream.ack", stream: guestStreams.stdout, offset: 5 }));
  stream.end();
  const program = new ProgramLink(nowhere, new Duplex({ read: () => {} }), {
    link,
    logger: link.openOutgoing(guestStreams.logger),
    attemptId: "",
    onStarted: () => {},
    onEnded: () => {},
    onViolation: () => {},
    onWaits: () => {},
  });
  program.send({ type: "cancel", reason: "" });
  program.close();
  new FrameDecoder().push(encodeMessage({ type: "started", node: "", bootMs: 0, loadMs: 0 }));
  nowhere.destroy();
}

/** The same descriptors as the program's, with a process that does nothing. */
function warmSpawn(): Promise<void> {
  const stdio = runStdio({ group: "", user: "", cwd: "", environment: {}, command: [], network: true, stdin: true, pipes: true });
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--version"], { stdio, env: { PATH: "/" }, cwd: "/" });
    for (const stream of child.stdio) stream?.on("error", () => {});
    child.stdout?.on("data", () => {});
    (child.stdin as NodeJS.WritableStream | null)?.end("warm-up");
    child.on("error", () => resolve());
    child.on("close", () => resolve());
  });
}
