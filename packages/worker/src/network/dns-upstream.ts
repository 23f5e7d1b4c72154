/**
 * Asks the host's name servers: one question, over UDP from a socket of its own (so from a port that nobody can guess, connected, so that
 * only the server is heard), over TCP when the answer is truncated. Servers are tried in turn; everything ends within `dnsTotalMs`.
 *
 * Not the C library's resolver: Node calls it on its four threads for file access, and a guest that asks for slow names would stop the
 * whole worker's files. Only names that the operator listed are looked up that way (host-facts.ts).
 */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { encodeQuery, parseServerAnswer, responseCodes } from "./dns-message.ts";
import type { ServerAnswer } from "./dns-message.ts";
import { networkLimits } from "./limits.ts";

export interface NameServer {
  address: string;
  port: number;
}

export type UpstreamOutcome = { status: "answered"; answer: ServerAnswer } | { status: "failed"; why: "no_servers" | "busy" | "timed_out" };

export class DnsUpstream {
  private inFlight = 0;
  private readonly servers: () => Promise<readonly NameServer[]>;

  constructor(servers: () => Promise<readonly NameServer[]>) {
    this.servers = servers;
  }

  async query(name: string, type: number): Promise<UpstreamOutcome> {
    if (this.inFlight >= networkLimits.dnsInFlightPerWorker) return { status: "failed", why: "busy" };
    this.inFlight += 1;
    try {
      const servers = await this.servers();
      return servers.length === 0 ? { status: "failed", why: "no_servers" } : await tryServers(servers, name, type);
    } finally {
      this.inFlight -= 1;
    }
  }
}

async function tryServers(servers: readonly NameServer[], name: string, type: number): Promise<UpstreamOutcome> {
  const deadline = performance.now() + networkLimits.dnsTotalMs;
  let failure: ServerAnswer | undefined;
  for (let attempt = 0; attempt < networkLimits.dnsTries && performance.now() < deadline; attempt += 1) {
    const server = servers[attempt % servers.length] as NameServer;
    const query = encodeQuery(randomInt(65_536), name, type);
    const left = Math.min(networkLimits.dnsTryMs, deadline - performance.now());
    let answer = await askOverUdp(server, query, left);
    if (answer?.truncated)
      answer = (await askOverTcp(server, query, Math.min(networkLimits.dnsTryMs, deadline - performance.now()))) ?? answer;
    if (!answer) continue;
    const settled = answer.code === responseCodes.ok || answer.code === responseCodes.noSuchName;
    if (settled && !answer.truncated) return { status: "answered", answer };
    // Another server may know better than SERVFAIL; each is asked once more at most.
    failure = answer;
    if (attempt + 1 >= servers.length) break;
  }
  return failure ? { status: "answered", answer: failure } : { status: "failed", why: "timed_out" };
}

function askOverUdp(server: NameServer, query: Buffer, timeoutMs: number): Promise<ServerAnswer | undefined> {
  const { promise, resolve } = Promise.withResolvers<ServerAnswer | undefined>();
  const socket = createSocket(isIPv6(server.address.split("%")[0] ?? "") ? "udp6" : "udp4");
  const finish = (answer?: ServerAnswer) => {
    clearTimeout(timer);
    socket.removeAllListeners("message");
    socket.close(() => resolve(answer));
  };
  let finished = false;
  const once = (answer?: ServerAnswer) => {
    if (finished) return;
    finished = true;
    finish(answer);
  };
  const timer = setTimeout(once, Math.max(1, timeoutMs));
  socket.on("error", () => once());
  // What is not an answer to this question is not heard; the right one may still come.
  socket.on("message", (message) => {
    const answer = parseServerAnswer(message, query);
    if (answer) once(answer);
  });
  socket.connect(server.port, server.address, (error?: Error) => {
    if (error) once();
    else if (!finished) socket.send(query);
  });
  return promise;
}

function askOverTcp(server: NameServer, query: Buffer, timeoutMs: number): Promise<ServerAnswer | undefined> {
  const { promise, resolve } = Promise.withResolvers<ServerAnswer | undefined>();
  const socket = connect({ host: server.address, port: server.port });
  const timer = setTimeout(() => socket.destroy(), Math.max(1, timeoutMs));
  let received = Buffer.alloc(0);
  let answer: ServerAnswer | undefined;
  socket.on("connect", () => socket.write(withLength(query)));
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) {
      if (received.length > 2 + networkLimits.dnsUpstreamTcpBytes) socket.destroy();
      return;
    }
    answer = parseServerAnswer(received.subarray(2, 2 + received.readUInt16BE(0)), query);
    socket.destroy();
  });
  // A failure is an answer that did not come.
  socket.on("error", () => {});
  socket.on("close", () => {
    clearTimeout(timer);
    resolve(answer);
  });
  return promise;
}

/** As DNS over TCP writes messages. */
export function withLength(message: Buffer): Buffer {
  const prefix = Buffer.alloc(2);
  prefix.writeUInt16BE(message.length);
  return Buffer.concat([prefix, message]);
}
