/** The guest network with a real guest: its relay, its C library and its programs at one end, this host's sockets at the other. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NetworkPolicy } from "@helmr/protocol/worker";
import type { FixtureGuest } from "../vm/fixture-guest.fixture.ts";
import { testGuests } from "../vm/shared-template.fixture.ts";
import type { TestGuests } from "../vm/shared-template.fixture.ts";
import type { NetworkDecision } from "./decision-log.ts";
import { parseAllowList, parseHostServices } from "./destination-rules.ts";
import { GuestNetwork } from "./guest-network.ts";
import type { ServedGuest } from "./guest-network.ts";
import { SystemFacts } from "./host-facts.ts";
import { findHostSettings } from "./host-registry.ts";
import type { HostSettings } from "./host-registry.ts";

const mebibyte = 1024 * 1024;
const bulk = randomBytes(24 * mebibyte);
/** An address of this host that is not its loopback, where there is one. */
const hostAddress = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

let guests: TestGuests;
let server: Server;
let port: number;
let settings: HostSettings;
const uploads: string[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === "/bulk") response.end(bulk);
    else if (request.url === "/reset") request.socket.resetAndDestroy();
    else if (request.method === "POST") {
      const hash = createHash("sha256");
      request.on("data", (piece: Buffer) => hash.update(piece));
      request.on("end", () => {
        uploads.push(hash.digest("hex"));
        response.end("taken");
      });
    } else response.end(`hello from ${request.headers.host}`);
  }).listen(0, "0.0.0.0");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
  settings = await findHostSettings({ facts: new SystemFacts(), environment: process.env });
  guests = await testGuests();
});

afterAll(async () => {
  await guests?.close();
  server.closeAllConnections();
  server.close();
});

interface Started {
  guest: FixtureGuest;
  served: ServedGuest;
  decisions: NetworkDecision[];
}

async function start(given: { policy?: NetworkPolicy; allow?: string } = {}): Promise<Started> {
  const allow = parseAllowList(given.allow ?? "");
  const services = parseHostServices(`host.test.internal:80=127.0.0.1:${port}`);
  if (!allow.ok || !services.ok) throw new Error("bad rules in a test");
  const network = new GuestNetwork({
    allow: [...allow.value, ...settings.allow],
    services: [...services.value, ...settings.services],
  });
  const { machine, guest } = await guests.start();
  const decisions: NetworkDecision[] = [];
  const served = network.serve({
    stream: machine.network,
    policy: given.policy ?? { internet: true },
    onDecision: (decision) => decisions.push(decision),
  });
  if (!served.ok) throw new Error(served.problem);
  await guest.attach("--scratch", "tmpfs");
  return { guest, served: served.value, decisions };
}

/** What a small Node program in the guest prints. */
async function node(guest: FixtureGuest, script: string): Promise<string> {
  const { stdout, stderr } = await guest.run(["node", "--input-type=module", "-e", script], { timeoutMs: 60_000 });
  return stdout + stderr;
}

describe("a guest with the internet", () => {
  let started: Started;
  beforeAll(async () => {
    started = await start({ allow: hostAddress ? `${hostAddress}:${port}` : "" });
  });

  test("reaches a service of the host by its name, with curl and with fetch", async () => {
    const { guest } = started;
    expect((await guest.run(["curl", "-sS", "http://host.test.internal/"])).stdout).toBe("hello from host.test.internal");
    expect(await node(guest, `console.log(await (await fetch("http://host.test.internal/")).text())`)).toBe(
      "hello from host.test.internal\n",
    );
  });

  test("gets and sends megabytes unchanged", async () => {
    const { guest, served } = started;
    const digest = createHash("sha256").update(bulk).digest("hex");
    const script =
      "curl -sS -o /tmp/bulk http://host.test.internal/bulk && sha256sum /tmp/bulk && curl -sS --data-binary @/tmp/bulk http://host.test.internal/";
    const { stdout, stderr } = await guest.shell(script, { timeoutMs: 60_000 });
    expect([stdout, stderr]).toEqual([`${digest}  /tmp/bulk\ntaken`, ""]);
    expect(uploads).toEqual([digest]);
    expect(served.counters().bytesIn).toBeGreaterThan(bulk.length);
    expect(served.counters().heldBytes).toBe(0);
  });

  test.runIf(hostAddress)("reaches an address that the operator has listed, on its port only", async () => {
    const { guest } = started;
    expect((await guest.run(["curl", "-sS", `http://${hostAddress}:${port}/`])).stdout).toBe(`hello from ${hostAddress}:${port}`);
    expect((await guest.run(["curl", "-sS", "-m", "10", `http://${hostAddress}:22/`])).code).not.toBe(0);
  });

  test("does not reach the host's loopback, private networks or metadata, in whatever form", async () => {
    const { guest, decisions } = started;
    const addresses = [
      "127.0.0.1",
      "10.0.2.2",
      "192.168.0.1",
      "169.254.169.254",
      "[::ffff:127.0.0.1]",
      "[::ffff:a9fe:a9fe]",
      "[64:ff9b::7f00:1]",
      "[fd00:ec2::254]",
      "0.0.0.0",
    ];
    const script = `for a in ${addresses.map((address) => `'${address}'`).join(" ")}; do curl -sS -m 5 "http://$a:${port}/" >/dev/null 2>&1; echo $?; done`;
    const { stdout } = await guest.shell(script, { timeoutMs: 60_000 });
    // 7: nobody listens (the guest's own loopback); 35, 52, 55, 56: the connection was reset. 28 would be a timeout.
    for (const code of stdout.trim().split("\n")) expect(["7", "35", "52", "55", "56"]).toContain(code);
    expect(stdout.trim().split("\n")).toHaveLength(addresses.length);
    const refused = decisions.flatMap((decision) =>
      decision.verdict === "deny" && decision.kind === "connection" ? [`${decision.address} ${decision.reason}`] : [],
    );
    for (const expected of [
      "10.0.2.2 private",
      "192.168.0.1 private",
      "169.254.169.254 metadata",
      "64:ff9b::7f00:1 loopback",
      "fd00:ec2::254 metadata",
    ])
      expect(refused).toContain(expected);
  });

  test("hears of names that are not there at once", async () => {
    const { guest } = started;
    const script = `import { lookup, resolveTxt } from "node:dns/promises";
      const code = (promise) => promise.then(() => "found", (error) => error.code);
      console.log(await code(lookup("nothing.onion")), await code(lookup("helmr.test.invalid")), await code(resolveTxt("x.invalid")), (await lookup("host.test.internal")).address);`;
    expect(await node(guest, script)).toMatch(/^ENOTFOUND ENOTFOUND ENOTFOUND 10\.63\.1\.1\n$/);
    expect((await guest.run(["getent", "hosts", "host.test.internal"])).stdout).toMatch(/^10\.63\.1\.1\s+host\.test\.internal\n$/);
  });

  test("asks the same resolver over TCP, whatever server it names", async () => {
    const { guest } = started;
    const script = `import { connect } from "node:net";
      const name = Buffer.concat("host.test.internal".split(".").flatMap((l) => [Buffer.from([l.length]), Buffer.from(l)]));
      const query = Buffer.concat([Buffer.from("000701000001000000000000", "hex"), name, Buffer.from("0000010001", "hex")]);
      for (const server of ["9.9.9.9", "127.0.0.53"]) {
        const socket = connect(53, server);
        socket.write(Buffer.concat([Buffer.from([0, query.length]), query]));
        for await (const answer of socket) { console.log(answer.subarray(-4).join(".")); break; }
      }`;
    expect(await node(guest, script)).toBe("10.63.1.1\n10.63.1.1\n");
  });

  test("sees ends and resets as they are", async () => {
    const { guest } = started;
    expect((await guest.run(["curl", "-sS", "http://host.test.internal/reset"])).stderr).toMatch(/reset|Empty reply/i);
    const script = `import { connect } from "node:net"; import { once } from "node:events";
      const socket = connect({ host: "host.test.internal", port: 80, allowHalfOpen: true });
      socket.end("GET / HTTP/1.0\\r\\nhost: half\\r\\n\\r\\n");
      let text = ""; for await (const piece of socket) text += piece;
      console.log(text.split("\\r\\n\\r\\n")[1]);`;
    expect(await node(guest, script)).toBe("hello from half\n");
  });

  test("opens many connections at once", async () => {
    const { guest, served } = started;
    const script = `const texts = await Promise.all(Array.from({ length: 120 }, () => fetch("http://host.test.internal/").then((answer) => answer.text())));
      console.log(texts.length, new Set(texts).size);`;
    expect(await node(guest, script)).toBe("120 1\n");
    expect(served.counters().denied).toBeGreaterThan(0);
  });

  test("installs a package from the registry that this host uses", async () => {
    const { guest, decisions } = started;
    if (settings.extraCa !== undefined) await guest.shell("cat > /run/extra-ca.pem", { stdin: settings.extraCa });
    const env = {
      ...settings.environment,
      HOME: "/tmp",
      ...(settings.extraCa === undefined ? {} : { NODE_EXTRA_CA_CERTS: "/run/extra-ca.pem" }),
    };
    const script =
      "mkdir -p /tmp/project && cd /tmp/project && npm install --no-audit --no-fund --no-update-notifier is-number@7.0.0 >&2 && node -p 'require(\"is-number\")(5)'";
    const { stdout, stderr } = await guest.shell(script, { env, timeoutMs: 110_000 });
    // Where a registry is is not for a test's output.
    expect([stdout, stderr.replaceAll(/https?:\/\/[^/\s]+/g, "registry")]).toEqual(["true\n", expect.stringContaining("added 1 package")]);
    expect(decisions.some((decision) => decision.kind === "connection" && decision.verdict === "allow" && decision.port === 443)).toBe(
      true,
    );
  }, 120_000);

  test("has a channel that is whole still, and fails at once when the host closes it", async () => {
    const { guest, served } = started;
    expect(await Promise.race([served.ended, Promise.resolve("serving")])).toBe("serving");
    served.close();
    expect(await served.ended).toEqual({ reason: "closed" });
    const { stdout } = await guest.shell("curl -sS -m 20 http://10.63.1.1/; echo $?; curl -sS -m 20 http://host.test.internal/; echo $?");
    // 28 would be a timeout of curl's; 6: no such name; 7, 56: refused, reset.
    for (const code of stdout.trim().split("\n")) expect(["6", "7", "35", "52", "55", "56"]).toContain(code);
  });
});

test("a guest of a sandbox without internet reaches nothing and knows no names", async () => {
  const { guest, decisions } = await start({ policy: { internet: false } });
  expect((await guest.run(["curl", "-sS", "-m", "10", "http://host.test.internal/"])).stderr).toContain("Could not resolve host");
  expect((await guest.run(["curl", "-sS", "-m", "10", "http://10.63.1.1/"])).code).not.toBe(0);
  expect(decisions.map((decision) => decision.verdict === "deny" && decision.reason)).toContain("internet_disabled");
});

test("a guest with an allow-list reaches the listed names only", async () => {
  const { guest } = await start({ policy: { internet: true, allow: ["host.test.internal"] } });
  expect((await guest.run(["curl", "-sS", "http://host.test.internal/"])).stdout).toBe("hello from host.test.internal");
  expect((await guest.run(["curl", "-sS", "-m", "10", "http://other.test.internal/"])).stderr).toContain("Could not resolve host");
  expect((await guest.run(["curl", "-sS", "-m", "10", "http://1.1.1.1/"])).code).not.toBe(0);
});

test("the end of the machine ends its connections", async () => {
  const { guest, served } = await start();
  const script = `import { connect } from "node:net"; const socket = connect({ host: "host.test.internal", port: 80 }); socket.on("connect", () => console.log("open")); setTimeout(() => {}, 60_000);`;
  void guest.run(["node", "--input-type=module", "-e", script], { timeoutMs: 60_000 }).catch(() => {});
  const deadline = performance.now() + 20_000;
  while (served.counters().connected === 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(served.counters().connections).toBe(1);
  await guests.close();
  expect(await served.ended).toMatchObject({ reason: "gone" });
  expect(served.counters().connections).toBe(0);
});
