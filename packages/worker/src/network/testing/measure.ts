/**
 * Measures the host side of the guest network on loopback, without a guest: `node packages/worker/src/network/testing/measure.ts`.
 * The relay (a model of it) and the destination run in a process each, so that this process' CPU time is the worker's share alone.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHostServices } from "../destination-rules.ts";
import { GuestNetwork } from "../guest-network.ts";
import { RelayModel } from "./relay-model.ts";

const mebibyte = 1024 * 1024;
const bulkBytes = 512 * mebibyte;
const serviceAddress = "10.63.1.1";
const ports = { source: 1, sink: 2, echo: 3 };

if (process.argv[2] === "relay") await runRelay(process.argv[3] ?? "");
else if (process.argv[2] === "destination") await runDestination();
else await measure();

async function measure(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "helmr-network-"));
  const path = join(directory, "network.sock");
  const destination = fork(import.meta.filename, ["destination"]);
  const [bound] = (await once(destination, "message")) as [typeof ports];
  const text = Object.entries(ports).map(([name, port]) => `measure.internal:${port}=127.0.0.1:${bound[name as keyof typeof ports]}`);
  const services = parseHostServices(text.join(","));
  if (!services.ok) return console.error(services.problem);
  const network = new GuestNetwork({ allow: [], services: services.value });
  const listener = createServer().listen(path);
  await once(listener, "listening");
  const relay = fork(import.meta.filename, ["relay", path]);
  const [stream] = (await once(listener, "connection")) as [Socket];
  const peer = network.serve({ stream, policy: { internet: true } });
  if (!peer.ok) return console.error(peer.problem);
  try {
    for (const task of ["download", "upload", "latency", "churn", "churn-parallel"]) await runTask(relay, task);
  } finally {
    peer.value.close();
    listener.close();
    for (const child of [relay, destination]) child.kill();
    rmSync(directory, { recursive: true });
  }
}

async function runTask(relay: ChildProcess, task: string): Promise<void> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  relay.send(task);
  const [result] = (await once(relay, "message")) as [string];
  const used = process.cpuUsage(cpu);
  const seconds = (performance.now() - start) / 1000;
  const own = (used.user + used.system) / 1_000_000;
  console.log(
    `${task}: ${result}; this process ${own.toFixed(2)} s CPU in ${seconds.toFixed(2)} s, ${Math.round(process.memoryUsage.rss() / mebibyte)} MiB`,
  );
}

async function runDestination(): Promise<void> {
  const piece = Buffer.alloc(256 * 1024, "x");
  const source = (socket: Socket) => {
    let left = bulkBytes;
    const more = () => {
      while (left > 0) {
        left -= piece.length;
        if (!socket.write(piece)) return;
      }
      socket.end();
    };
    socket.on("drain", more);
    more();
  };
  const sink = (socket: Socket) => void socket.resume().on("end", () => socket.end("done"));
  const echo = (socket: Socket) => void socket.setNoDelay().pipe(socket);
  const bound: Record<string, number> = {};
  for (const [name, serve] of Object.entries({ source, sink, echo })) {
    const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket.on("error", () => {}))).listen(0, "127.0.0.1", 1024);
    await once(server, "listening");
    bound[name] = (server.address() as AddressInfo).port;
  }
  process.send?.(bound);
}

async function runRelay(path: string): Promise<void> {
  const stream = connect({ path });
  await once(stream, "connect");
  const relay = new RelayModel(stream);
  const tasks: Record<string, () => Promise<string>> = {
    download: () => download(relay),
    upload: () => upload(relay),
    latency: () => latency(relay),
    churn: () => churn(relay, 1),
    "churn-parallel": () => churn(relay, 64),
  };
  process.on("message", (task: string) => void tasks[task]?.().then((result) => process.send?.(result)));
  process.on("disconnect", () => process.exit());
}

function rate(start: number): string {
  const seconds = (performance.now() - start) / 1000;
  return `${Math.round(bulkBytes / mebibyte / seconds)} MiB/s (${bulkBytes / mebibyte} MiB)`;
}

async function download(relay: RelayModel): Promise<string> {
  const start = performance.now();
  const connection = relay.connect(serviceAddress, ports.source);
  await once(connection.resume(), "end");
  connection.end();
  return rate(start);
}

async function upload(relay: RelayModel): Promise<string> {
  const start = performance.now();
  const connection = relay.connect(serviceAddress, ports.sink);
  const piece = Buffer.alloc(65_536, "x");
  for (let sent = 0; sent < bulkBytes; sent += piece.length) if (!connection.write(piece)) await once(connection, "drain");
  connection.end();
  await once(connection.resume(), "end");
  return rate(start);
}

function summary(times: number[]): string {
  times.sort((a, b) => a - b);
  const at = (part: number) => (times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0).toFixed(3);
  return `n=${times.length} p50 ${at(0.5)} p95 ${at(0.95)} max ${at(1)} ms`;
}

async function latency(relay: RelayModel): Promise<string> {
  const connection = relay.connect(serviceAddress, ports.echo);
  const times: number[] = [];
  for (let round = 0; round < 5_000; round += 1) {
    const start = performance.now();
    connection.write("ping");
    await once(connection, "data");
    times.push(performance.now() - start);
  }
  connection.reset();
  return summary(times);
}

/** Connections that send and receive a few bytes and end, so many at a time. Stays within the burst that a guest may open at once. */
async function churn(relay: RelayModel, parallel: number): Promise<string> {
  const times: number[] = [];
  const started = performance.now();
  let left = 250;
  const one = async () => {
    while (left > 0) {
      left -= 1;
      const start = performance.now();
      const connection = relay.connect(serviceAddress, ports.echo);
      connection.end("hello");
      await once(connection.resume(), "end");
      times.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: parallel }, one));
  return `${Math.round(times.length / ((performance.now() - started) / 1000))} connections/s, ${summary(times)}`;
}
