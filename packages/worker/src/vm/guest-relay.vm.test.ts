/** The guest's network relay (packages/guest/src/init/relay*.c, steer.c) in a real guest, against a peer that is strict about the protocol. */
import { createHash } from "node:crypto";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { networkKinds, networkRefusals, networkWindowBytes } from "@helmr/protocol/guest";
import { until } from "@helmr/test/services";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Machine } from "./driver.ts";
import { FixtureGuest } from "./fixture-guest.fixture.ts";
import { NetworkPeer, type PeerConnection } from "./network-peer.fixture.ts";
import { testGuests, type TestGuests } from "./shared-template.fixture.ts";

let guests: TestGuests;
let machine: Machine;
let guest: FixtureGuest;
let peer: NetworkPeer;

beforeAll(async () => {
  guests = await testGuests();
  ({ machine, guest } = await guests.start());
  peer = new NetworkPeer(machine.network);
  await guest.attach("--scratch", "tmpfs");
});

afterEach(() => {
  expect(peer.violations).toEqual([]);
  peer.onOpen = (connection) => connection.accept();
  peer.onQuery = () => {};
});

afterAll(async () => {
  await guests?.close();
});

/** Runs JavaScript in the task's root; its output without the last line break. */
async function script(source: string, options: { guest?: FixtureGuest; timeoutMs?: number } = {}): Promise<string> {
  const { timeoutMs = 60_000 } = options;
  const result = await (options.guest ?? guest).run(["node", "-e", source], { timeoutMs });
  return (result.stdout + result.stderr).trim();
}

function nextConnection(): Promise<PeerConnection> {
  return new Promise((resolve) => {
    peer.onOpen = resolve;
  });
}

const say = "const say = (...words) => console.log(...words);";

describe("connections", () => {
  test("begin with SYNC, then say where they are meant to go", async () => {
    expect(peer.syncs).toBeGreaterThanOrEqual(1);
    const opened = nextConnection();
    const said = script(
      `${say} const s = net.connect(8080, "203.0.113.7", () => { say(s.localAddress, s.remoteAddress, s.remotePort); s.end("hello"); }); s.on("data", d => say(String(d)))`,
    );
    const connection = await opened;
    expect(connection.opened).toMatchObject({ address: "203.0.113.7", port: 8080 });
    connection.accept();
    connection.write("welcome");
    await until("the guest's END", () => connection.ended);
    connection.end();
    expect(await said).toBe("10.63.0.2 203.0.113.7 8080\nwelcome");
    expect(connection.text).toBe("hello");
  });

  test("to IPv6 addresses", async () => {
    const opened = nextConnection();
    const said = script(`${say} net.connect(443, "2001:db8::1").on("data", d => say(String(d))).on("end", () => say("end"))`);
    const connection = await opened;
    expect(connection.opened).toMatchObject({ address: "2001:0db8:0000:0000:0000:0000:0000:0001", port: 443 });
    connection.accept();
    connection.write("six");
    connection.end();
    expect(await said).toBe("six\nend");
  });

  test("to the guest's own loopback stay in the guest, whatever its address", async () => {
    const before = peer.connections.size;
    const said = await script(`${say} const s = net.createServer(c => c.end("local")).listen(3000, "::", async () => {
      for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) say(host, await new Promise(r => net.connect(3000, host).on("data", d => r(String(d))).on("error", e => r(e.code))));
      s.close(); })`);
    expect(said).toBe("127.0.0.1 local\n127.1.2.3 local\n::1 local\nlocalhost local");
    expect(peer.connections.size).toBe(before);
  });

  test("even when a program of the guest listens on the same port", async () => {
    const opened = nextConnection();
    const said = script(
      `${say} const s = net.createServer(c => c.end("wrong")).listen(3001, "0.0.0.0", () => net.connect(3001, "198.51.100.1").on("data", d => say(String(d))).on("end", () => s.close()))`,
    );
    const connection = await opened;
    connection.accept();
    connection.write("right");
    connection.end();
    expect(await said).toBe("right");
  });

  test("that the host refuses or resets are reset", async () => {
    peer.onOpen = (connection) => {
      if (connection.opened.port === 1) connection.refuse(networkRefusals.notAllowed);
      else {
        connection.accept();
        connection.abort();
      }
    };
    const said = await script(`${say} for (const port of [1, 2]) net.connect(port, "192.0.2.1").on("error", e => say(port, e.code))`);
    expect(said.split("\n").toSorted()).toEqual(["1 ECONNRESET", "2 ECONNRESET"]);
  });

  test("that a process breaks off are reset towards the host", async () => {
    const opened = nextConnection();
    const said = script(`net.connect(80, "192.0.2.1").on("data", function () { this.resetAndDestroy() })`);
    const connection = await opened;
    connection.accept();
    connection.write("x");
    await said;
    await until("the RESET", () => connection.reset);
  });

  test("are half-closed in either direction", async () => {
    const opened = nextConnection();
    const said = script(
      `${say} const s = net.connect({ port: 80, host: "192.0.2.1", allowHalfOpen: true }); s.on("end", () => { say("host ended"); s.write("still "); s.end("talking"); })`,
    );
    const connection = await opened;
    connection.accept();
    connection.end();
    expect(await said).toBe("host ended");
    await until("the guest's END", () => connection.ended);
    expect(connection.text).toBe("still talking");
  });

  test("UDP to other ports than 53 is refused at once", async () => {
    const said = await script(
      `${say} const d = require("dgram").createSocket("udp4"); d.on("error", e => { say(e.code); d.close() }); d.connect(123, "192.0.2.1", () => d.send("x"))`,
    );
    expect(said).toBe("ECONNREFUSED");
  });
});

describe("amounts", () => {
  const megabytes = 6;

  test("arrive whole and in order in both directions at once, within the windows", async () => {
    const bytes = Buffer.alloc(megabytes * 1_000_000);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((at * 2_654_435_761) % 4_294_967_296, at);
    const digest = createHash("sha256").update(bytes).digest("hex");
    const opened = nextConnection();
    const said = script(
      `${say} const bytes = Buffer.alloc(${bytes.length}); for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((at * 2654435761) % 4294967296, at);
       const s = net.connect(80, "192.0.2.1", () => s.end(bytes)); const h = require("crypto").createHash("sha256"); s.on("data", d => h.update(d)).on("end", () => say(h.digest("hex")))`,
      { timeoutMs: 120_000 },
    );
    const connection = await opened;
    connection.accept();
    connection.write(bytes);
    connection.end();
    expect(await said).toBe(digest);
    await until("the guest's END", () => connection.ended);
    expect(createHash("sha256").update(Buffer.concat(connection.received)).digest("hex")).toBe(digest);
  });

  test("that nobody takes stop at the window, in both directions", async () => {
    const opened = nextConnection();
    const said = script(
      `${say} const s = net.connect(80, "192.0.2.1", () => { s.pause(); s.write(Buffer.alloc(2000000, "g")); setTimeout(() => s.resume(), 1500); }); let n = 0; s.on("data", d => { n += d.length; if (n === 1000000) { say(n); s.destroy(); } })`,
    );
    const connection = await opened;
    connection.autoCredit = false;
    connection.accept();
    connection.write(Buffer.alloc(1_000_000, "h"));
    await until("the guest's window to be used up", () => connection.granted === 0);
    expect(connection.receivedBytes).toBe(networkWindowBytes);
    connection.grant(1000);
    await until("just what was granted", () => connection.receivedBytes === networkWindowBytes + 1000);
    expect(await said).toBe("1000000");
    expect(connection.queuedBytes).toBe(0);
    // What the process had written before it went away still comes, then its end.
    connection.autoCredit = true;
    connection.grant(networkWindowBytes);
    await until("the guest's END", () => connection.ended);
    expect(connection.receivedBytes).toBeLessThanOrEqual(2_000_000);
  });

  test("of connections: as many as the channel allows, then more when some have ended", async () => {
    const total = 1100;
    let most = 0;
    peer.onOpen = (connection) => {
      const live = [...peer.connections.values()].filter(
        ({ opened, ended, reset }) => opened.address === "192.0.2.77" && !ended && !reset,
      ).length;
      most = Math.max(most, live);
      connection.accept();
      connection.write("x");
      connection.end();
    };
    const said = await script(
      `let done = 0, failed = 0; for (let i = 0; i < ${total}; i++) net.connect(80, "192.0.2.77").on("data", () => {}).on("error", () => failed++).on("close", () => { if (++done === ${total}) console.log(done, failed); })`,
      { timeoutMs: 120_000 },
    );
    expect(said).toBe(`${total} 0`);
    expect(most).toBeLessThanOrEqual(1024);
  });
});

describe("names", () => {
  /** An answer with one address, or with as many as are asked for. */
  function answerFor(query: Buffer, addresses: readonly string[]): Buffer {
    const end = query.indexOf(0, 12) + 5;
    const head = Buffer.from(query.subarray(0, end));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(query.readUInt16BE(end - 4) === 1 ? addresses.length : 0, 6);
    head.writeUInt32BE(0, 8);
    if (query.readUInt16BE(end - 4) !== 1) return head;
    const records = addresses.map((address) => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split(".").map(Number)]));
    return Buffer.concat([head, ...records]);
  }
  const answerAll = (addresses: readonly string[]): void => {
    peer.onQuery = (id, message) => peer.send(networkKinds.answer, id, answerFor(message, addresses));
  };

  test("are asked for through the system's resolver and any server a program knows", async () => {
    answerAll(["198.51.100.9"]);
    expect((await guest.shell("getent ahostsv4 example.test | head -1")).stdout).toMatch(/^198\.51\.100\.9 /);
    const said = await script(
      `${say} const r = new (require("dns").promises.Resolver)(); (async () => { for (const server of ["8.8.8.8", "127.0.0.53", "[2001:4860:4860::8888]"]) { r.setServers([server]); say(server, await r.resolve4("example.test")); } })()`,
    );
    expect(said).toBe("8.8.8.8 [ '198.51.100.9' ]\n127.0.0.53 [ '198.51.100.9' ]\n[2001:4860:4860::8888] [ '198.51.100.9' ]");
  });

  test("with more answers than a datagram takes are asked for again over TCP", async () => {
    const addresses = Array.from({ length: 60 }, (_, index) => `198.51.100.${index + 1}`);
    let queries = 0;
    peer.onQuery = (id, message) => {
      queries += 1;
      peer.send(networkKinds.answer, id, answerFor(message, addresses));
    };
    const { stdout } = await guest.shell("getent ahostsv4 many.test | grep -c STREAM");
    expect(stdout).toBe("60\n");
    expect(queries).toBeGreaterThanOrEqual(2);
  });

  test("that get no answer, and nonsense on the port, hurt nobody", async () => {
    const said =
      await script(`${say} const d = require("dgram").createSocket("udp4"); d.send("x", 53, "127.0.0.53"); d.send(Buffer.alloc(5000), 53, "127.0.0.53"); d.send(Buffer.alloc(100, 0xff), 53, "8.8.8.8", () => { say("sent"); d.close() });
      net.connect(53, "127.0.0.53", function () { this.end(Buffer.alloc(3)) }); net.connect(53, "127.0.0.53", function () { this.write(Buffer.from([255, 255])) }).on("close", () => say("closed"))`);
    expect(said.split("\n").toSorted()).toEqual(["closed", "sent"]);
    answerAll(["198.51.100.9"]);
    expect((await guest.shell("getent ahostsv4 after.test | head -1")).stdout).toMatch(/^198\.51\.100\.9 /);
  });
});

describe("changes of the host", () => {
  const endless = `${say} const s = net.connect(80, "192.0.2.1", () => s.write("hello")).on("error", e => say(e.code));`;

  test("a violation by the host resets every connection and begins again", async () => {
    const opened = nextConnection();
    const said = script(endless);
    const connection = await opened;
    connection.accept();
    await until("the guest's bytes", () => connection.receivedBytes === 5);
    const before = peer.syncs;
    peer.sendRaw(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
    expect(await said).toBe("ECONNRESET");
    await until("a new beginning", () => peer.syncs === before + 1);
    await works(guest, peer);
  });

  test("without network every connection is reset and every name fails, at once", async () => {
    const { guest: other } = await guests.start();
    const args = ["attach", "--clock", `${Date.now() * 1000}`, "--entropy", "--network", "off", "--scratch", "tmpfs"];
    expect((await other.tool(args, { stdin: Buffer.alloc(64, 1) })).code).toBe(0);
    const said = await script(
      `${say} net.connect(80, "192.0.2.1").on("error", e => say(e.code)); require("dns").resolve4("example.test", e => say(e.code))`,
      { guest: other },
    );
    expect(said.split("\n").toSorted()).toEqual(["ECONNRESET", "ESERVFAIL"]);
  });

  test("a restore elsewhere resets what was open, also in the middle of a frame", async () => {
    const started = await guests.start({ snapshotable: true });
    const first = new NetworkPeer(started.machine.network);
    await started.guest.attach("--scratch", "tmpfs");
    let connection: PeerConnection | undefined;
    first.onOpen = (opened) => {
      connection = opened;
      opened.accept();
      // Half a frame: the rest never comes.
      first.sendRaw(Buffer.from([0, 0, 0, 200, networkKinds.data, 0, 0]));
    };
    await started.guest.shell(`node -e '${endless} setInterval(() => s.write(Buffer.alloc(30000)), 1)' > /said 2>&1 &`);
    await until("a busy connection", () => connection !== undefined && connection.receivedBytes > 100_000, 30_000);
    const snapshot = await started.machine.snapshot(join(started.directory, "snapshot"), () =>
      copyFile("/dev/null", join(started.directory, "nothing")),
    );
    await started.machine.stop();

    const next = await guests.start({ directory: started.directory });
    await next.machine.stop();
    const spec = {
      id: "restored",
      directory: next.directory,
      template: guests.template,
      disks: {},
      limits: { milliCpu: 2000 },
      snapshotable: false,
    };
    const restored = await guests.driver.restore(spec, snapshot, new AbortController().signal);
    try {
      const second = new NetworkPeer(restored.network);
      const later = new FixtureGuest(restored);
      expect((await later.tool(["attach", "--resumed", "--clock", `${Date.now() * 1000}`, "--network", "on"])).code).toBe(0);
      await until("the old connection's end", async () => (await later.shell("cat /said")).stdout.includes("ECONNRESET"), 20_000);
      await works(later, second);
      expect(second.violations).toEqual([]);
    } finally {
      await restored.stop();
    }
  });

  /** One whole exchange. */
  async function works(who: FixtureGuest, at: NetworkPeer): Promise<void> {
    at.onOpen = (connection) => {
      connection.accept();
      connection.write("fresh");
      connection.end();
    };
    expect(await script(`${say} net.connect(80, "192.0.2.1").on("data", d => say(String(d)))`, { guest: who })).toBe("fresh");
  }
});
