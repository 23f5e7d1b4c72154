import type { NetworkPolicy } from "@helmr/protocol/worker";
import dnsPacket from "dns-packet";
import type { DecodedPacket, StringAnswer } from "dns-packet";
import { afterEach, describe, expect, test } from "vitest";
import { parseDestination, parseGuestRules, parseHostServices } from "./destination-rules.ts";
import { DnsUpstream } from "./dns-upstream.ts";
import { GuestResolver } from "./guest-resolver.ts";
import { KnownNames } from "./known-names.ts";
import { networkLimits } from "./limits.ts";
import type { Rules } from "./policy.ts";
import { fixedFacts } from "./testing/fixed-facts.ts";
import type { FixedHost } from "./testing/fixed-facts.ts";
import { encodeReply, startNameServer } from "./testing/name-server.ts";
import type { NameServerModel, Reply } from "./testing/name-server.ts";

const servers: NameServerModel[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
});

async function nameServer(reply: NameServerModel["reply"]): Promise<NameServerModel> {
  const server = await startNameServer(reply);
  servers.push(server);
  return server;
}

interface Given extends FixedHost {
  policy?: NetworkPolicy;
  allow?: string[];
  services?: string;
}

function resolverOf(given: Given) {
  const guest = parseGuestRules(given.policy ?? { internet: true });
  const services = parseHostServices(given.services ?? "");
  if (!guest.ok || !services.ok) throw new Error("bad rules in a test");
  const allow = (given.allow ?? []).flatMap((text) => {
    const rule = parseDestination(text);
    return rule.ok ? [rule.value] : [];
  });
  const facts = fixedFacts(given);
  const rules: Rules = { guest: guest.value, host: { allow, services: services.value, ownAddresses: facts.ownAddresses() } };
  const names = new KnownNames();
  const clock = { ms: 1_000 };
  const decisions: string[] = [];
  const upstream = new DnsUpstream(() => facts.nameServers());
  const resolver = new GuestResolver({
    rules: () => rules,
    facts,
    upstream,
    names,
    now: () => clock.ms,
    onDecision: (name, reason) => decisions.push(`${name} ${reason ?? "allow"}`),
  });
  const ask = async (name: string, type = "A", bytesMax = 4096) => {
    const message = dnsPacket.encode({
      type: "query",
      id: 5,
      flags: dnsPacket.RECURSION_DESIRED,
      questions: [{ type: type as never, name }],
      additionals: [opt],
    });
    const answer = await resolver.answer(message, bytesMax);
    if (!answer) throw new Error("no answer");
    return dnsPacket.decode(answer) as DecodedPacket & { rcode: string };
  };
  const addresses = async (name: string, type = "A") => {
    const { rcode, answers } = await ask(name, type);
    return rcode === "NOERROR" ? ((answers ?? []) as StringAnswer[]).map(({ data }) => data) : rcode;
  };
  return { resolver, ask, addresses, names, clock, decisions, facts };
}

const opt = {
  type: "OPT",
  name: ".",
  udpPayloadSize: 4096,
  flags: 0,
  ednsVersion: 0,
  extendedRcode: 0,
  options: [],
  flag_do: false,
} as never;
const a = (name: string, data: string, ttl = 60) => ({ type: "A", name, ttl, data }) as const;
const aaaa = (name: string, data: string) => ({ type: "AAAA", name, ttl: 60, data }) as const;

describe("addresses", () => {
  test("come from the name server, and are remembered as this name's", async () => {
    const server = await nameServer(() => ({ answers: [a("www.example.com", "1.1.1.1"), a("www.example.com", "1.1.1.2")] }));
    const { addresses, names, clock, decisions } = resolverOf({ nameServers: [server] });
    expect(await addresses("WWW.example.com")).toEqual(["1.1.1.1", "1.1.1.2"]);
    expect(names.namesOf("1.1.1.2", clock.ms)).toEqual(["www.example.com"]);
    expect(names.namesOf("1.1.1.2", clock.ms + 60_000 + networkLimits.nameFreshMs + 1)).toEqual([]);
    expect(decisions).toEqual(["www.example.com allow"]);
  });

  test("that the guest cannot reach are left out: a name that leads to a private address opens nothing", async () => {
    const server = await nameServer(({ name }) =>
      name === "mixed.example" ? { answers: [a(name, "10.0.0.1"), a(name, "1.1.1.1")] } : { answers: [a(name, "169.254.169.254")] },
    );
    const { ask, addresses, names, clock, decisions } = resolverOf({ nameServers: [server], own: ["1.2.3.4"] });
    expect(await addresses("mixed.example")).toEqual(["1.1.1.1"]);
    expect(await addresses("rebind.example")).toEqual([]);
    const [edns] = (await ask("rebind.example")).additionals as unknown as { options: { data: Buffer }[] }[];
    expect(edns?.options[0]?.data.toString("latin1", 2)).toBe("The destination is a metadata service.");
    expect(names.namesOf("10.0.0.1", clock.ms)).toEqual([]);
    expect(decisions).toContain("rebind.example metadata");
  });

  test("of a private network are answered for names that the operator listed, and those may come from the system's resolver", async () => {
    const server = await nameServer(({ name }) => ({ answers: [a(name, "10.0.0.7")] }));
    const { addresses, facts } = resolverOf({
      nameServers: [server],
      allow: ["db.corp.example:5432", "*.dev.example", "ldap.corp.example"],
      system: { "ldap.corp.example": ["10.0.0.9"] },
    });
    expect(await addresses("db.corp.example")).toEqual(["10.0.0.7"]);
    expect(await addresses("ldap.corp.example")).toEqual(["10.0.0.9"]);
    expect(await addresses("a.dev.example")).toEqual(["10.0.0.7"]);
    expect(await addresses("other.example")).toEqual([]);
    expect(facts.lookedUp).toEqual(["db.corp.example", "ldap.corp.example"]);
  });

  test("of a name over a CNAME count for the name that was asked, not for the other", async () => {
    const server = await nameServer(() => ({
      answers: [{ type: "CNAME", name: "api.example", ttl: 60, data: "x.cdn.net" }, a("x.cdn.net", "1.1.1.1")],
    }));
    const { addresses, names, clock } = resolverOf({ nameServers: [server], policy: { internet: true, allow: ["api.example"] } });
    expect(await addresses("api.example")).toEqual(["1.1.1.1"]);
    expect(names.namesOf("1.1.1.1", clock.ms)).toEqual(["api.example"]);
    expect(await addresses("x.cdn.net")).toBe("NXDOMAIN");
    expect(server.asked.map(({ name }) => name)).toEqual(["api.example"]);
  });

  test("are those of the host's own table first", async () => {
    const server = await nameServer(() => ({ answers: [] }));
    const { addresses } = resolverOf({
      nameServers: [server],
      hosts: "1.1.1.9 pinned.example # x\n10.0.0.1 inside.example\n2606:4700::9 pinned.example",
    });
    expect(await addresses("pinned.example")).toEqual(["1.1.1.9"]);
    expect(await addresses("inside.example")).toEqual([]);
    expect(server.asked).toEqual([]);
  });

  test("of IPv6 are answered where the host has IPv6", async () => {
    const server = await nameServer(({ name }) => ({ answers: [aaaa(name, "2606:4700::1")] }));
    expect(await resolverOf({ nameServers: [server] }).addresses("six.example", "AAAA")).toEqual([]);
    expect(await resolverOf({ nameServers: [server], own: ["2a00::1"] }).addresses("six.example", "AAAA")).toEqual(["2606:4700::1"]);
  });
});

describe("names", () => {
  test("that the policy closes do not exist, and are asked of nobody", async () => {
    const server = await nameServer(({ name }) => ({ answers: [a(name, "1.1.1.1")] }));
    const listed = resolverOf({ nameServers: [server], policy: { internet: true, allow: ["ok.example", "*.sub.example"] } });
    expect(await listed.addresses("secret-data.evil.example")).toBe("NXDOMAIN");
    expect((await listed.ask("evil.example", "TXT")).rcode).toBe("NXDOMAIN");
    expect(await listed.addresses("sub.example")).toBe("NXDOMAIN");
    expect(await listed.addresses("a.sub.example")).toEqual(["1.1.1.1"]);
    expect(await resolverOf({ nameServers: [server], policy: { internet: false } }).addresses("ok.example")).toBe("NXDOMAIN");
    expect(server.asked.map(({ name }) => name)).toEqual(["a.sub.example"]);
    expect(listed.decisions).toContain("secret-data.evil.example not_in_allow_list");
  });

  test("of any kind are looked up when addresses are listed, and answered when they lead there", async () => {
    const server = await nameServer(({ name }) => ({ answers: [a(name, name === "in.example" ? "9.9.9.9" : "8.8.8.8")] }));
    const { ask, addresses } = resolverOf({ nameServers: [server], policy: { internet: true, allow: ["9.9.9.0/24"] } });
    expect(await addresses("in.example")).toEqual(["9.9.9.9"]);
    expect(await addresses("out.example")).toEqual([]);
    expect(await ask("in.example", "TXT")).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  test("of this machine and of the host's services are answered here", async () => {
    const { addresses, ask } = resolverOf({ services: "helmr.internal:80=127.0.0.1:4100" });
    expect(await addresses("localhost")).toEqual(["127.0.0.1"]);
    expect(await addresses("a.localhost", "AAAA")).toEqual(["::1"]);
    expect(await addresses("helmr.internal")).toEqual(["10.63.1.1"]);
    expect(await ask("helmr.internal", "AAAA")).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  test("that are no names, and questions about everything, go nowhere", async () => {
    const server = await nameServer(() => ({}));
    const { ask } = resolverOf({ nameServers: [server] });
    expect((await ask("1.2.3.4")).rcode).toBe("NXDOMAIN");
    expect((await ask("x.onion")).rcode).toBe("NXDOMAIN");
    for (const type of ["ANY", "AXFR", "IXFR", "TSIG"]) expect((await ask("example.com", type)).rcode).toBe("REFUSED");
    expect(server.asked).toEqual([]);
  });
});

describe("other records", () => {
  test("are passed on, without what nobody asked for", async () => {
    const server = await nameServer(({ name, type }) => ({
      raw: (query) => [
        encodeReply(
          query,
          { answers: type === "MX" ? [{ type: "MX", name, ttl: 86_400, data: { preference: 5, exchange: "mail.example" } }] : [] },
          {
            additionals: [a("mail.example", "10.0.0.1")],
          },
        ),
      ],
    }));
    const { ask } = resolverOf({ nameServers: [server] });
    const answer = await ask("example.com", "MX");
    expect(answer.answers).toMatchObject([{ type: "MX", ttl: 300, data: { preference: 5, exchange: "mail.example" } }]);
    expect(answer.additionals?.map(({ type }) => type)).toEqual(["OPT"]);
  });

  test("about the names of addresses stay inside for addresses that the guest cannot reach", async () => {
    const server = await nameServer(({ name }) => ({ answers: [{ type: "PTR", name, ttl: 60, data: "a.example" }] }));
    const { ask } = resolverOf({ nameServers: [server], own: ["2a00::1"] });
    expect((await ask("1.1.1.1.in-addr.arpa", "PTR")).answers).toMatchObject([{ data: "a.example" }]);
    expect((await ask("7.0.0.10.in-addr.arpa", "PTR")).rcode).toBe("NXDOMAIN");
    expect((await ask(`${"0.".repeat(30)}d.f.ip6.arpa`, "PTR")).rcode).toBe("NXDOMAIN");
    expect(server.asked).toHaveLength(1);
  });

  test("too long for one message come whole over TCP, and are cut for the guest when it takes less", async () => {
    const texts = Array.from({ length: 20 }, () => "x".repeat(200));
    const server = await nameServer(({ name, transport }): Reply =>
      transport === "udp" ? { truncated: true } : { answers: [{ type: "TXT", name, ttl: 1, data: texts }] },
    );
    const { ask } = resolverOf({ nameServers: [server] });
    const whole = await ask("big.example", "TXT", 65_000);
    expect(whole.answers).toMatchObject([{ type: "TXT", data: { length: 20 } }]);
    expect(await ask("big.example", "TXT", 512)).toMatchObject({ flag_tc: true, answers: [] });
    expect(server.asked.map(({ transport }) => transport)).toEqual(["udp", "tcp"]);
  });
});

describe("the host's name servers", () => {
  test("are asked again only when the time to live is over", async () => {
    const server = await nameServer(({ name }) => ({ answers: [a(name, "1.1.1.1", 20)] }));
    const { ask, clock } = resolverOf({ nameServers: [server] });
    expect((await ask("a.example")).answers).toMatchObject([{ ttl: 20 }]);
    clock.ms += 15_000;
    expect((await ask("a.example")).answers).toMatchObject([{ ttl: 5 }]);
    clock.ms += 5_001;
    await ask("a.example");
    expect(server.asked).toHaveLength(2);
  });

  test("are asked once for questions that come together, and a missing name is remembered a little", async () => {
    const server = await nameServer(() => ({ rcode: 3 }));
    const { addresses, clock } = resolverOf({ nameServers: [server] });
    expect(await Promise.all([addresses("no.example"), addresses("no.example"), addresses("no.example")])).toEqual([
      "NXDOMAIN",
      "NXDOMAIN",
      "NXDOMAIN",
    ]);
    await addresses("no.example");
    expect(server.asked).toHaveLength(1);
    clock.ms += 6_000;
    await addresses("no.example");
    expect(server.asked).toHaveLength(2);
  });

  test("that are silent, refuse, or lie are passed over", async () => {
    const failing = await nameServer(() => ({ rcode: 2 }));
    const lying = await nameServer(({ name }) => ({
      raw: (query) => [
        encodeReply(query, { answers: [a(name, "6.6.6.6")] }, { id: (query.readUInt16BE(0) + 1) & 0xffff }),
        Buffer.from("junk"),
        encodeReply(query, { answers: [a(name, "1.1.1.1")] }),
      ],
    }));
    expect(await resolverOf({ nameServers: [failing, lying] }).addresses("a.example")).toEqual(["1.1.1.1"]);
    expect(await resolverOf({ nameServers: [failing] }).addresses("a.example")).toBe("SERVFAIL");
    expect(await resolverOf({ nameServers: [] }).addresses("a.example")).toBe("SERVFAIL");
    const silent = await nameServer(() => "silent");
    expect(await resolverOf({ nameServers: [silent, lying] }).addresses("a.example")).toEqual(["1.1.1.1"]);
  });

  test("are not asked more than a guest may ask", async () => {
    const server = await nameServer(() => "silent");
    const { resolver } = resolverOf({ nameServers: [server] });
    const message = (index: number) =>
      dnsPacket.encode({ type: "query", id: index, questions: [{ type: "A", name: `n${index}.example` }] });
    const answers = Array.from({ length: networkLimits.dnsInFlightPerGuest + 5 }, (_, index) => resolver.answer(message(index), 512));
    for (const refused of await Promise.all(answers.slice(-5))) expect(dnsPacket.decode(refused!)).toMatchObject({ rcode: "SERVFAIL" });
    // Those under way end with the server.
    await servers.pop()?.[Symbol.asyncDispose]();
    await Promise.all(answers);
  }, 20_000);

  test("nor faster than its rate", async () => {
    const { resolver, clock } = resolverOf({});
    const message = dnsPacket.encode({ type: "query", id: 1, questions: [{ type: "A", name: "localhost" }] });
    const codes = new Map<string, number>();
    const count = async () => {
      const { rcode } = dnsPacket.decode((await resolver.answer(message, 512))!) as unknown as { rcode: string };
      codes.set(rcode, (codes.get(rcode) ?? 0) + 1);
    };
    for (let index = 0; index < networkLimits.dnsBurst + 10; index += 1) await count();
    expect(codes).toEqual(
      new Map([
        ["NOERROR", networkLimits.dnsBurst],
        ["SERVFAIL", 10],
      ]),
    );
    clock.ms += 1_000;
    for (let index = 0; index < networkLimits.dnsPerSecond; index += 1) await count();
    expect(codes.get("SERVFAIL")).toBe(10);
  });
});
