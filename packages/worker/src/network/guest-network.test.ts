/** A guest's connections with real sockets on the loopback; the guest is the model of its relay. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { networkKinds, networkWindowBytes } from "@helmr/protocol/guest";
import type { NetworkPolicy } from "@helmr/protocol/worker";
import dnsPacket from "dns-packet";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { encodeFrame, syncFrame } from "./channel-frames.ts";
import type { NetworkDecision } from "./decision-log.ts";
import { parseDestination, parseHostServices } from "./destination-rules.ts";
import { withLength } from "./dns-upstream.ts";
import { GuestNetwork } from "./guest-network.ts";
import type { ServedGuest } from "./guest-network.ts";
import { networkLimits } from "./limits.ts";
import { fixedFacts } from "./testing/fixed-facts.ts";
import type { FixedHost } from "./testing/fixed-facts.ts";
import { memoryPair } from "./testing/memory-pair.ts";
import { openBody, RelayModel } from "./testing/relay-model.ts";
import type { ModelConnection } from "./testing/relay-model.ts";

const cleanups: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Destination {
  port: number;
  sockets: Socket[];
  server: Server;
}

/** Listens on the loopback; the test says what becomes of a connection. */
async function destination(serve: (socket: Socket) => void): Promise<Destination> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    serve(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return { port: (server.address() as AddressInfo).port, sockets, server };
}

interface Given extends FixedHost {
  /** Ports of 127.0.0.1 that the operator has opened. */
  ports?: number[];
  services?: string;
  policy?: NetworkPolicy;
  heldBytesPerGuest?: number;
}

interface Started {
  relay: RelayModel;
  peer: ServedGuest;
  guest: Duplex;
  decisions: NetworkDecision[];
}

function start(given: Given): Started {
  const services = parseHostServices(given.services ?? "");
  const allow = (given.ports ?? []).map((port) => parseDestination(`127.0.0.1:${port}`)).flatMap((rule) => (rule.ok ? [rule.value] : []));
  if (!services.ok) throw new Error(services.problem);
  const network = new GuestNetwork({
    allow,
    services: services.value,
    facts: fixedFacts(given),
    heldBytesPerGuest: given.heldBytesPerGuest,
  });
  const [host, guest] = memoryPair();
  const decisions: NetworkDecision[] = [];
  const peer = network.serve({
    stream: host,
    policy: given.policy ?? { internet: true },
    onDecision: (decision) => decisions.push(decision),
  });
  if (!peer.ok) throw new Error(peer.problem);
  cleanups.push(() => peer.value.close());
  return { relay: new RelayModel(guest), peer: peer.value, guest, decisions };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function text(connection: ModelConnection): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of connection) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}

const echo = (socket: Socket) => void socket.pipe(socket);

describe("an allowed connection", () => {
  test("carries megabytes both ways, unchanged", async () => {
    const { port } = await destination(echo);
    const { relay, peer } = start({ ports: [port] });
    const connection = relay.connect("127.0.0.1", port);
    const bytes = randomBytes(9 * 1024 * 1024 + 17);
    const received = createHash("sha256");
    let count = 0;
    connection.on("data", (piece: Buffer) => {
      received.update(piece);
      count += piece.length;
    });
    connection.end(bytes);
    await once(connection, "end");
    expect([count, received.digest("hex")]).toEqual([bytes.length, createHash("sha256").update(bytes).digest("hex")]);
    expect(await connection.gone).toBe("ended");
    expect(peer.counters()).toMatchObject({
      opened: 1,
      connected: 1,
      denied: 0,
      failed: 0,
      bytesIn: bytes.length,
      bytesOut: bytes.length,
      connections: 0,
    });
    await until(() => peer.counters().heldBytes === 0, "nothing is held");
  });

  test("keeps small pieces in order behind big ones, also when the destination is slow", async () => {
    const { port, sockets } = await destination((socket) => socket.pause());
    const { relay } = start({ ports: [port] });
    const connection = relay.connect("127.0.0.1", port);
    await connection.outcome;
    const sizes = Array.from({ length: 3_000 }, (_, index) => (index % 50 === 0 ? 50_000 : (index * 7) % 300) + 1);
    const pieces = sizes.map((size) => randomBytes(size));
    const writing = (async () => {
      for (const piece of pieces) if (!connection.write(piece)) await once(connection, "drain");
      connection.end();
    })();
    await until(() => sockets.length === 1, "the destination has the connection");
    const received = createHash("sha256");
    for await (const piece of sockets[0]!) received.update(piece as Buffer);
    await writing;
    expect(received.digest("hex")).toBe(createHash("sha256").update(Buffer.concat(pieces)).digest("hex"));
  });

  test("ends in each direction by itself", async () => {
    const { port } = await destination((socket) => {
      socket.end("first word");
      socket.on("data", () => {});
      socket.on("end", () => received.push("end"));
    });
    const received: string[] = [];
    const { relay } = start({ ports: [port] });
    const connection = relay.connect("127.0.0.1", port);
    expect(await text(connection)).toBe("first word");
    expect(received).toEqual([]);
    connection.end("last word");
    expect(await connection.gone).toBe("ended");
    await until(() => received.length === 1, "the destination saw the end");
  });

  test("passes a reset of the destination on as a reset", async () => {
    const { port } = await destination((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const { relay } = start({ ports: [port] });
    const connection = relay.connect("127.0.0.1", port);
    connection.write("hello");
    expect(await connection.gone).toBe("reset");
  });

  test("passes a reset of the guest on as a reset", async () => {
    const codes: (string | undefined)[] = [];
    const { port, sockets } = await destination((socket) =>
      socket.on("error", (error: NodeJS.ErrnoException) => codes.push(error.code)).resume(),
    );
    const { relay } = start({ ports: [port] });
    const connection = relay.connect("127.0.0.1", port);
    await connection.outcome;
    await until(() => sockets.length === 1, "the destination has the connection");
    connection.reset();
    await until(() => codes.length === 1, "the destination saw the reset");
    expect(codes).toEqual(["ECONNRESET"]);
  });

  test("leads to a service of the host under its own name", async () => {
    const { port } = await destination(echo);
    const { relay } = start({ services: `helmr.internal:80=127.0.0.1:${port}` });
    const answer = dnsPacket.decode(
      await relay.query(dnsPacket.encode({ type: "query", id: 1, questions: [{ type: "A", name: "helmr.internal" }] })),
    );
    const [record] = answer.answers as { data: string }[];
    const connection = relay.connect(record!.data, 80);
    connection.end("over there");
    expect(await text(connection)).toBe("over there");
    expect(await relay.connect(record!.data, 81).outcome).toBe("notAllowed");
  });
});

describe("refusals", () => {
  test("say why: nobody listens there, or the policy", async () => {
    const { port, server } = await destination(echo);
    server.close();
    const { relay, peer, decisions } = start({ ports: [port] });
    expect(await relay.connect("127.0.0.1", port).outcome).toBe("refused");
    expect(await relay.connect("127.0.0.1", port + 1).outcome).toBe("notAllowed");
    expect(await relay.connect("::ffff:127.0.0.1", port + 1).outcome).toBe("notAllowed");
    expect(await relay.connect("169.254.169.254", 80).outcome).toBe("notAllowed");
    expect(peer.counters()).toMatchObject({ opened: 4, connected: 0, denied: 3, failed: 1 });
    expect(decisions.map((decision) => [decision.verdict, decision.verdict === "deny" ? decision.reason : "", decision.repeats])).toEqual([
      ["allow", "", 0],
      ["deny", "loopback", 0],
      ["deny", "metadata", 0],
    ]);
  });

  test("of a task without internet hold for everything", async () => {
    const { port } = await destination(echo);
    const { relay } = start({ ports: [port], services: `a.internal:1=127.0.0.1:${port}`, policy: { internet: false } });
    expect(await relay.connect("127.0.0.1", port).outcome).toBe("notAllowed");
    expect(await relay.connect("10.63.1.1", 1).outcome).toBe("notAllowed");
    const answer = dnsPacket.decode(
      await relay.query(dnsPacket.encode({ type: "query", id: 1, questions: [{ type: "A", name: "a.internal" }] })),
    );
    expect(answer).toMatchObject({ rcode: "NXDOMAIN" });
  });

  test("rules that cannot be read serve nobody", () => {
    const [host] = memoryPair();
    const network = new GuestNetwork({ allow: [], services: [], facts: fixedFacts({}) });
    expect(network.serve({ stream: host, policy: { internet: true, allow: ["a b"] } })).toMatchObject({ ok: false });
  });
});

describe("names", () => {
  const query = (relay: RelayModel, name: string) =>
    relay.query(dnsPacket.encode({ type: "query", id: 1, questions: [{ type: "A", name }] }));
  const hosts = "127.0.0.1 ok.example other.example";

  test("open an address only after the guest was told so", async () => {
    const { port } = await destination(echo);
    const { relay, decisions } = start({ ports: [port], hosts, policy: { internet: true, allow: ["ok.example"] } });
    expect(await relay.connect("127.0.0.1", port).outcome).toBe("notAllowed");
    await query(relay, "other.example");
    expect(await relay.connect("127.0.0.1", port).outcome).toBe("notAllowed");
    await query(relay, "ok.example");
    expect(await relay.connect("127.0.0.1", port).outcome).toBe("opened");
    expect(decisions.at(-1)).toMatchObject({ kind: "connection", verdict: "allow", names: ["ok.example"] });
  });

  test("of TLS connections must be allowed where only the name opened the address", async () => {
    const received: string[] = [];
    const { port } = await destination((socket) => socket.on("data", (bytes) => received.push(bytes.toString("latin1"))));
    const { relay, decisions, peer } = start({ ports: [port], hosts, policy: { internet: true, allow: ["ok.example", "*.sub.example"] } });
    await query(relay, "ok.example");

    for (const name of ["ok.example", "a.sub.example"]) {
      received.length = 0;
      const allowed = relay.connect("127.0.0.1", port);
      const hello = await helloOf(name);
      // In three pieces, the first of which says nothing yet.
      allowed.write(hello.subarray(0, 3));
      allowed.write(hello.subarray(3, 100));
      allowed.write(hello.subarray(100));
      await until(() => received.join("").length === hello.length, "the hello arrived");
      expect(Buffer.from(received.join(""), "latin1").equals(hello)).toBe(true);
    }

    received.length = 0;
    for (const name of ["evil.example", "sub.example", ""]) {
      const refused = relay.connect("127.0.0.1", port);
      refused.write(await helloOf(name));
      expect(await refused.gone).toBe("reset");
    }
    expect(
      decisions.filter((decision) => decision.verdict === "deny").map((decision) => decision.verdict === "deny" && decision.reason),
    ).toEqual(["server_name"]);
    const plain = relay.connect("127.0.0.1", port);
    plain.write("GET / HTTP/1.1\r\n\r\n");
    await until(() => received.length > 0, "plain text arrived");
    expect(received.join("")).toBe("GET / HTTP/1.1\r\n\r\n");
    expect(peer.counters().heldBytes).toBe(0);
  });

  test("are answered over TCP to port 53 of any address", async () => {
    const { relay } = start({ hosts: "1.1.1.9 a.example" });
    const connection = relay.connect("8.8.8.8", 53);
    const message = (id: number) => withLength(dnsPacket.encode({ type: "query", id, questions: [{ type: "A", name: "a.example" }] }));
    const both = Buffer.concat([message(1), message(2)]);
    for (const byte of both) connection.write(Buffer.of(byte));
    connection.end();
    const pieces: Buffer[] = [];
    for await (const piece of connection) pieces.push(piece as Buffer);
    let bytes = Buffer.concat(pieces);
    const ids: unknown[] = [];
    while (bytes.length > 0) {
      const answer = dnsPacket.decode(bytes.subarray(2, 2 + bytes.readUInt16BE(0)));
      ids.push([answer.id, (answer.answers as { data: string }[])[0]?.data]);
      bytes = bytes.subarray(2 + bytes.readUInt16BE(0));
    }
    expect(ids).toEqual([
      [1, "1.1.1.9"],
      [2, "1.1.1.9"],
    ]);
    expect(await connection.gone).toBe("ended");

    const bad = relay.connect("8.8.8.8", 53);
    bad.write(Buffer.from("ffff", "hex"));
    expect(await bad.gone).toBe("reset");
    const many = Array.from({ length: networkLimits.dnsTcpStreamsPerGuest + 1 }, () => relay.connect("9.9.9.9", 53));
    expect(await many.at(-1)?.outcome).toBe("unreachable");
    expect(await many[0]?.outcome).toBe("opened");
  });
});

describe("bounds", () => {
  test("a guest that does not read stops the destination at its window", async () => {
    const { port, sockets } = await destination((socket) => {
      const more = () => {
        while (socket.write(Buffer.alloc(65_536)));
      };
      socket.on("drain", more);
      more();
    });
    const { relay, peer } = start({ ports: [port] });
    const connection = relay.connect("127.0.0.1", port);
    await connection.outcome;
    await until(() => connection.bytesReceived > networkWindowBytes - networkLimits.readBytes, "the window is nearly full");
    let last = -1;
    await until(() => {
      const same = last === sockets[0]!.bytesWritten && connection.bytesReceived <= networkWindowBytes + 65_536;
      last = sockets[0]!.bytesWritten;
      return same;
    }, "the destination stands still");
    expect(connection.held).toBeLessThanOrEqual(networkWindowBytes);
    expect(peer.counters().heldBytes).toBe(0);
  });

  test("destinations that do not read hold a window each, and all together the budget", async () => {
    const budget = 1024 * 1024;
    const { port } = await destination((socket) => socket.pause());
    const { relay, peer } = start({ ports: [port], heldBytesPerGuest: budget });
    const connections = Array.from({ length: 8 }, () => relay.connect("127.0.0.1", port));
    let held = 0;
    const endings: string[] = [];
    for (const connection of connections) {
      void connection.gone.then((how) => endings.push(how));
      await connection.outcome;
      void (async () => {
        const piece = Buffer.alloc(65_536);
        while (!connection.destroyed) {
          if (!connection.write(piece)) await Promise.race([once(connection, "drain"), connection.gone]);
          held = Math.max(held, peer.counters().heldBytes);
        }
      })();
    }
    await until(() => endings.length > 0, "one connection was cut off");
    expect(held).toBeLessThanOrEqual(budget + networkWindowBytes + networkLimits.readBytes);
    expect(held).toBeGreaterThan(budget / 2);
    expect(connections.some((connection) => !connection.destroyed)).toBe(true);
    peer.close();
    expect(peer.counters().heldBytes).toBe(0);
  });

  test("more connections at once than the burst come later, none is lost", async () => {
    const { port } = await destination((socket) => socket.end("x"));
    const { relay, peer } = start({ ports: [port] });
    const total = networkLimits.opensBurst + 60;
    const outcomes = await Promise.all(Array.from({ length: total }, () => relay.connect("127.0.0.1", port).outcome));
    expect(new Set(outcomes)).toEqual(new Set(["opened"]));
    expect(peer.counters().opened).toBe(total);
  });
});

describe("the end", () => {
  async function withOpenConnection() {
    const codes: (string | undefined)[] = [];
    const { port, server, sockets } = await destination((socket) =>
      socket.on("error", (error: NodeJS.ErrnoException) => codes.push(error.code)).resume(),
    );
    const started = start({ ports: [port] });
    const connection = started.relay.connect("127.0.0.1", port);
    await connection.outcome;
    await until(() => sockets.length === 1, "the destination has the connection");
    return { ...started, codes, server, connection, port };
  }

  test("of the machine resets its connections", async () => {
    const { guest, peer, codes } = await withOpenConnection();
    guest.destroy();
    expect(await peer.ended).toMatchObject({ reason: "gone" });
    await until(() => codes.length === 1, "the destination saw the reset");
    expect(peer.counters()).toMatchObject({ connections: 0, heldBytes: 0 });
  });

  test("by close resets its connections, also those that are being made", async () => {
    const { peer, codes, relay } = await withOpenConnection();
    relay.connect("192.0.2.1", 9);
    peer.close();
    expect(await peer.ended).toEqual({ reason: "closed" });
    await until(() => codes.length === 1, "the destination saw the reset");
    await relay.closed;
  });

  test("of what was before an attach: SYNC resets its connections and the channel goes on", async () => {
    const { relay, codes, port, peer } = await withOpenConnection();
    relay.sync();
    await until(() => codes.length === 1, "the destination saw the reset");
    expect(await relay.connect("127.0.0.1", port).outcome).toBe("opened");
    expect(peer.counters().connections).toBe(1);
  });

  test("after a violation is final", async () => {
    const { relay, peer, codes } = await withOpenConnection();
    relay.raw(Buffer.from("ffffffff0400000000", "hex"));
    expect(await peer.ended).toMatchObject({ reason: "violation" });
    await relay.closed;
    await until(() => codes.length === 1, "the destination saw the reset");
  });

  test("gives up a connection that the guest gives up while it is being made", async () => {
    const { port, server } = await destination(echo);
    const { relay, peer } = start({ ports: [port] });
    for (let index = 0; index < 50; index += 1) relay.connect("127.0.0.1", port).reset();
    const last = relay.connect("127.0.0.1", port);
    last.end("x");
    expect(await text(last)).toBe("x");
    expect(peer.counters().connections).toBe(0);
    let count = 1;
    await until(() => {
      server.getConnections((_error, open) => (count = open));
      return count === 0;
    }, "the destination has none left");
  });
});

test("whatever frames a guest sends, nothing of it is left", async () => {
  const { port } = await destination(echo);
  const services = `a.internal:1=127.0.0.1:${port}`;
  const ids = fc.integer({ min: 0, max: 3 });
  const addresses = fc.constantFrom("10.63.1.1", "127.0.0.1", "192.0.2.1", "::1", "9.9.9.9");
  const frames = fc.oneof(
    fc
      .tuple(ids, addresses, fc.constantFrom(1, 53, 0))
      .map(([id, address, port]) => encodeFrame(networkKinds.open, id, openBody(address, port))),
    fc.tuple(ids, fc.uint8Array({ minLength: 1, maxLength: 400 })).map(([id, body]) => encodeFrame(networkKinds.data, id, body)),
    fc.tuple(ids, fc.uint8Array({ maxLength: 60 })).map(([id, body]) => encodeFrame(networkKinds.query, id, body)),
    ids.map((id) => encodeFrame(networkKinds.end, id)),
    ids.map((id) => encodeFrame(networkKinds.reset, id)),
    fc.constant(syncFrame),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(frames, fc.boolean()), { maxLength: 40 }), async (steps) => {
      const { relay, peer, guest } = start({ services, own: ["192.0.2.1"] });
      for (const [frame, waits] of steps) {
        relay.raw(frame);
        if (waits) await new Promise((resolve) => setImmediate(resolve));
      }
      guest.end();
      await peer.ended;
      expect(peer.counters()).toMatchObject({ connections: 0, sockets: 0, heldBytes: 0 });
    }),
    { numRuns: 150 },
  );
});

test("works over real stream sockets as over memory", async () => {
  const { port } = await destination(echo);
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const guest = connect((listener.address() as AddressInfo).port, "127.0.0.1");
  const [host] = (await once(listener, "connection")) as [Socket];
  cleanups.push(() => {
    guest.destroy();
    listener.close();
  });
  const rule = parseDestination(`127.0.0.1:${port}`);
  const network = new GuestNetwork({ allow: rule.ok ? [rule.value] : [], services: [], facts: fixedFacts({}) });
  const peer = network.serve({ stream: host, policy: { internet: true } });
  if (!peer.ok) throw new Error(peer.problem);
  const relay = new RelayModel(guest);
  const bytes = randomBytes(5 * 1024 * 1024);
  const parallel = Array.from({ length: 8 }, async () => {
    const connection = relay.connect("127.0.0.1", port);
    const received = createHash("sha256");
    connection.on("data", (piece: Buffer) => received.update(piece));
    connection.end(bytes);
    await once(connection, "end");
    return received.digest("hex");
  });
  expect(new Set(await Promise.all(parallel))).toEqual(new Set([createHash("sha256").update(bytes).digest("hex")]));
  peer.value.close();
});

/** The first bytes that Node's TLS client sends. */
async function helloOf(servername: string): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      resolve(Buffer.from(chunk));
      done();
    },
  });
  const socket = connectTls({ socket: wire, servername });
  socket.on("error", () => {});
  const hello = await promise;
  socket.destroy();
  return hello;
}
