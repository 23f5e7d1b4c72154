/**
 * A supervisor for the tests of machines (packages/worker/src/vm): it says `hello`, answers `ping`, and runs the C tool with whatever
 * arguments it is given. The tests of drivers and of the tool need no more of a guest; the real supervisor has its own tests.
 *
 *   { type: "ping", id }                                 → ok { monotonicNs, unixUs, random, counter }   counter grows with every ping
 *   { type: "rehearse", id }                              → ok
 *   { type: "tool", id, args, env?, stdin?, lines? }     → ok { code, signal, stdout, stderr, control, milliseconds }
 *       stdin: base64; lines: written to the control descriptor (5) once the tool has said `started`
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { encodeMessage, FrameDecoder } from "@helmr/protocol/guest";
import { openControlPort } from "./control-port.ts";

interface Ping {
  type: "ping";
  id: number;
}
interface Rehearse {
  type: "rehearse";
  id: number;
}
interface Tool {
  type: "tool";
  id: number;
  args: string[];
  env?: Record<string, string>;
  stdin?: string;
  lines?: string[];
}

const device = process.env["HELMR_CONTROL_DEVICE"] ?? "/dev/vport0p1";
const tool = process.env["HELMR_GUEST_TOOL"] ?? "/opt/helmr/bin/helmr-guest";
let counter = 0;

openControlPort(device, (stream) => {
  const decoder = new FrameDecoder();
  const send = (message: unknown): void => void stream.write(encodeMessage(message));
  stream.on("data", (chunk: Buffer) => {
    for (const frame of decoder.push(chunk)) {
      if (frame.kind === "message") answer(frame.message as Ping | Rehearse | Tool, send);
    }
  });
  greet(send);
});

function greet(send: (message: unknown) => void): void {
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const state = { attached: false, fenced: false, parked: false, run: null, building: false, processes: [] };
  send({ type: "hello", protocol: 1, supervisor: "fixture", bootId, state });
}

function answer(message: Ping | Rehearse | Tool, send: (message: unknown) => void): void {
  if (message.type === "ping") {
    counter += 1;
    const result = {
      monotonicNs: String(process.hrtime.bigint()),
      unixUs: Date.now() * 1000,
      random: randomBytes(16).toString("hex"),
      counter,
    };
    send({ type: "ok", id: message.id, result });
  } else if (message.type === "rehearse") runTool({ type: "tool", id: message.id, args: ["rehearse"] }, send);
  else runTool(message, send);
}

function runTool(message: Tool, send: (message: unknown) => void): void {
  const started = performance.now();
  const child = spawn(tool, message.args, { stdio: ["pipe", "pipe", "pipe", "ignore", "ignore", "pipe"], env: message.env ?? {} });
  const [stdin, stdout, stderr, , , control] = child.stdio as unknown as Duplex[];
  const output = { stdout: "", stderr: "", control: "" };
  stdout?.on("data", (chunk: Buffer) => (output.stdout += chunk.toString("latin1")));
  stderr?.on("data", (chunk: Buffer) => (output.stderr += chunk.toString("latin1")));
  control?.on("data", (chunk: Buffer) => {
    const before = output.control.includes("started");
    output.control += chunk.toString("latin1");
    if (!before && output.control.includes("started")) for (const line of message.lines ?? []) control.write(`${line}\n`);
  });
  for (const stream of [stdin, control]) {
    stream?.on("error", () => {
      // The tool is gone; its exit is what counts.
    });
  }
  stdin?.end(Buffer.from(message.stdin ?? "", "base64"));
  child.on("error", (error) => send({ type: "error", id: message.id, code: "internal", message: error.message }));
  child.on("close", (code, signal) => {
    send({ type: "ok", id: message.id, result: { code, signal, ...output, milliseconds: performance.now() - started } });
  });
}
