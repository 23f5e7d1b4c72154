import type { NetworkPolicy } from "@helmr/protocol/worker";
import { describe, expect, test } from "vitest";
import { parseDestination, parseGuestRules, parseHostServices } from "./destination-rules.ts";
import { parseAddress } from "./ip-address.ts";
import { KnownNames } from "./known-names.ts";
import { decideAnswer, decideConnection, decideName } from "./policy.ts";
import type { Rules } from "./policy.ts";

interface Given {
  policy?: NetworkPolicy;
  allow?: string[];
  services?: string;
  own?: string[];
}

function rulesOf({ policy = { internet: true }, allow = [], services = "", own = [] }: Given): Rules {
  const guest = parseGuestRules(policy);
  const parsed = parseHostServices(services);
  if (!guest.ok || !parsed.ok) throw new Error("bad rules in a test");
  const operator = allow.map((text) => {
    const rule = parseDestination(text);
    if (!rule.ok) throw new Error(rule.problem);
    return rule.value;
  });
  return { guest: guest.value, host: { allow: operator, services: parsed.value, ownAddresses: new Set(own) } };
}

/** "allow", or the reason of the refusal. */
function connect(address: string, given: Given & { port?: number; names?: string[] } = {}): string {
  const decision = decideConnection({ address: parseAddress(address)!, port: given.port ?? 443, names: given.names ?? [] }, rulesOf(given));
  return decision.verdict === "allow" ? "allow" : decision.reason;
}

describe("what is closed by default", () => {
  test.each([
    ["127.0.0.1", "loopback"],
    ["127.255.255.254", "loopback"],
    ["::1", "loopback"],
    ["0.0.0.0", "unspecified"],
    ["0.1.2.3", "unspecified"],
    ["::", "unspecified"],
    ["10.0.0.0", "private"],
    ["10.255.255.255", "private"],
    ["172.16.0.1", "private"],
    ["172.31.255.255", "private"],
    ["192.168.1.1", "private"],
    ["100.64.0.1", "private"],
    ["100.127.255.255", "private"],
    ["fc00::1", "private"],
    ["fdff::1", "private"],
    ["fec0::1", "private"],
    ["169.254.1.1", "link_local"],
    ["fe80::1", "link_local"],
    ["febf::1", "link_local"],
    ["169.254.169.254", "metadata"],
    ["169.254.170.2", "metadata"],
    ["100.100.100.200", "metadata"],
    ["168.63.129.16", "metadata"],
    ["fd00:ec2::254", "metadata"],
    ["fd20:ce::254", "metadata"],
    ["224.0.0.1", "multicast"],
    ["239.255.255.250", "multicast"],
    ["255.255.255.255", "multicast"],
    ["ff02::1", "multicast"],
    ["240.0.0.1", "reserved"],
    ["192.0.2.1", "reserved"],
    ["198.18.0.1", "reserved"],
    ["203.0.113.9", "reserved"],
    ["2001:db8::1", "reserved"],
    ["2001::1", "reserved"],
    ["4000::1", "reserved"],
    ["64:ff9b:1::1", "private"],
    // IPv4 in other clothes.
    ["::ffff:10.0.0.1", "private"],
    ["::ffff:169.254.169.254", "metadata"],
    ["::127.0.0.1", "loopback"],
    ["::169.254.169.254", "metadata"],
    ["64:ff9b::10.0.0.1", "private"],
    ["64:ff9b::169.254.169.254", "metadata"],
    ["2002:7f00:1::", "loopback"],
    ["2002:a9fe:a9fe::1", "metadata"],
    ["2a00:1450::5efe:127.0.0.1", "loopback"],
    ["2a00:1450::200:5efe:192.168.1.1", "private"],
  ])("%s is refused as %s", (address, reason) => {
    expect(connect(address)).toBe(reason);
  });

  test.each([
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "192.167.255.255",
    "223.255.255.255",
    "2a00:1450::1",
    "2606:4700::1111",
    "64:ff9b::1.1.1.1",
    "::ffff:1.1.1.1",
    "2002:101:101::1",
  ])("%s is public", (address) => {
    expect(connect(address)).toBe("allow");
  });

  test("the host's own addresses are refused, public ones too", () => {
    expect(connect("1.2.3.4", { own: ["1.2.3.4"] })).toBe("host_address");
    expect(connect("64:ff9b::1.2.3.4", { own: ["1.2.3.4"] })).toBe("host_address");
    expect(connect("10.0.0.5", { own: ["10.0.0.5"] })).toBe("host_address");
  });

  test("a port that is none is refused", () => {
    expect(connect("1.1.1.1", { port: 0 })).toBe("bad_destination");
  });
});

describe("the operator's allow-list", () => {
  test("opens exactly what it names", () => {
    const allow = ["10.1.0.0/16", "10.2.0.1:5432", "fd00::/64"];
    expect(connect("10.1.255.1", { allow })).toBe("allow");
    expect(connect("10.2.0.1", { allow, port: 5432 })).toBe("allow");
    expect(connect("10.2.0.1", { allow, port: 5433 })).toBe("private");
    expect(connect("10.2.0.2", { allow, port: 5432 })).toBe("private");
    expect(connect("fd00::9", { allow })).toBe("allow");
    expect(connect("fd00:0:0:1::9", { allow })).toBe("private");
    expect(connect("::ffff:10.1.0.1", { allow })).toBe("allow");
  });

  test("a wide range does not open loopback, link-local, metadata, the host itself or multicast; one address does, but for multicast", () => {
    const wide = { allow: ["0.0.0.0/0", "::/0"], own: ["10.0.0.5"] };
    expect(connect("10.0.0.6", wide)).toBe("allow");
    expect(connect("127.0.0.1", wide)).toBe("loopback");
    expect(connect("169.254.169.254", wide)).toBe("metadata");
    expect(connect("fe80::1", wide)).toBe("link_local");
    expect(connect("10.0.0.5", wide)).toBe("host_address");
    expect(connect("::127.0.0.1", wide)).toBe("loopback");
    expect(connect("169.254.169.254", { allow: ["169.254.169.254:80"], port: 80 })).toBe("allow");
    expect(connect("10.0.0.5", { allow: ["10.0.0.5"], own: ["10.0.0.5"] })).toBe("allow");
    expect(connect("224.0.0.1", { allow: ["224.0.0.1"] })).toBe("multicast");
  });

  test("a name opens the private addresses it was answered with, on its port", () => {
    const given = { allow: ["db.corp.example:5432"], names: ["db.corp.example"] };
    expect(connect("10.0.0.7", { ...given, port: 5432 })).toBe("allow");
    expect(connect("10.0.0.7", { ...given, port: 22 })).toBe("private");
    expect(connect("10.0.0.7", { ...given, port: 5432, names: [] })).toBe("private");
    expect(connect("10.0.0.7", { ...given, port: 5432, names: ["evil.example"] })).toBe("private");
  });

  test("a name opens the host's own address, but never metadata, link-local or loopback", () => {
    const given = { allow: ["db.corp.example"], names: ["db.corp.example"], own: ["10.0.0.5"] };
    expect(connect("10.0.0.5", given)).toBe("allow");
    expect(connect("169.254.169.254", given)).toBe("metadata");
    expect(connect("169.254.9.9", given)).toBe("link_local");
    expect(connect("127.0.0.1", given)).toBe("loopback");
  });
});

describe("a task's lists", () => {
  test("internet: false closes everything, what the operator opened included", () => {
    const given = { policy: { internet: false }, allow: ["10.0.0.1"], services: "a.internal:443=127.0.0.1:1" };
    for (const address of ["1.1.1.1", "10.0.0.1", "10.63.1.1"]) expect(connect(address, given)).toBe("internet_disabled");
  });

  test("with entries, only these destinations are reachable", () => {
    const policy = { internet: true, allow: ["1.1.1.1", "9.9.9.0/24", "api.example.com", "*.example.org"] };
    expect(connect("1.1.1.1", { policy })).toBe("allow");
    expect(connect("9.9.9.9", { policy })).toBe("allow");
    expect(connect("8.8.8.8", { policy })).toBe("not_in_allow_list");
    expect(connect("8.8.8.8", { policy, names: ["api.example.com"] })).toBe("allow");
    expect(connect("8.8.8.8", { policy, names: ["x.api.example.com"] })).toBe("not_in_allow_list");
    expect(connect("8.8.8.8", { policy, names: ["a.example.org"] })).toBe("allow");
    expect(connect("8.8.8.8", { policy, names: ["a.b.example.org"] })).toBe("allow");
    expect(connect("8.8.8.8", { policy, names: ["example.org"] })).toBe("not_in_allow_list");
    expect(connect("8.8.8.8", { policy, names: ["evilexample.org", "example.org.evil.example"] })).toBe("not_in_allow_list");
  });

  test("allow does not open private networks, by address or by name", () => {
    const policy = { internet: true, allow: ["10.0.0.0/8", "rebind.example", "169.254.169.254"] };
    expect(connect("10.0.0.1", { policy })).toBe("private");
    expect(connect("10.0.0.1", { policy, names: ["rebind.example"] })).toBe("private");
    expect(connect("169.254.169.254", { policy })).toBe("metadata");
    expect(connect("10.0.0.1", { policy, allow: ["10.0.0.0/8"] })).toBe("allow");
  });

  test("deny wins over allow and over the operator, in every form of the address", () => {
    const policy = { internet: true, allow: ["1.1.1.0/24", "api.example.com"], deny: ["1.1.1.0/25", "10.9.0.0/16", "2606:4700::/32"] };
    expect(connect("1.1.1.1", { policy })).toBe("denied_range");
    expect(connect("1.1.1.200", { policy })).toBe("allow");
    expect(connect("1.1.1.1", { policy, names: ["api.example.com"] })).toBe("denied_range");
    expect(connect("::ffff:1.1.1.1", { policy })).toBe("denied_range");
    expect(connect("64:ff9b::1.1.1.1", { policy })).toBe("denied_range");
    expect(connect("10.9.0.1", { policy, allow: ["10.0.0.0/8"] })).toBe("denied_range");
    expect(connect("2606:4700::1111", { policy })).toBe("denied_range");
  });
});

describe("server names", () => {
  const names = (given: Given & { names: string[]; port?: number }, address = "8.8.8.8") => {
    const decision = decideConnection({ address: parseAddress(address)!, port: given.port ?? 443, names: given.names }, rulesOf(given));
    return decision.verdict === "allow" ? decision.serverNames.map((group) => group.map((rule) => rule.text)) : decision.reason;
  };

  test("are free where the address itself is allowed, and all names of the list where it passed by name", () => {
    expect(names({ names: ["a.example"] })).toEqual([]);
    expect(names({ policy: { internet: true, allow: ["8.8.8.8", "a.example"] }, names: ["a.example"] })).toEqual([]);
    expect(names({ policy: { internet: true, allow: ["a.example", "*.b.example", "1.1.1.1"] }, names: ["a.example"] })).toEqual([
      ["a.example", "*.b.example"],
    ]);
  });

  test("of the operator's and of the task's list hold together, on the port in question", () => {
    const given = { policy: { internet: true, allow: ["a.corp"] }, allow: ["a.corp:443", "b.corp:80"], names: ["a.corp"] };
    expect(names(given, "10.0.0.1")).toEqual([["a.corp:443"], ["a.corp"]]);
  });
});

describe("services of the host", () => {
  const services = "helmr.internal:80=127.0.0.1:4100";

  test("are reached under their own address and port only", () => {
    const rules = rulesOf({ services });
    const decide = (port: number) => decideConnection({ address: parseAddress("10.63.1.1")!, port, names: [] }, rules);
    expect(decide(80)).toEqual({ verdict: "allow", host: "127.0.0.1", port: 4100, serverNames: [] });
    expect(decide(81)).toEqual({ verdict: "deny", reason: "private" });
    expect(connect("127.0.0.1", { services, port: 4100 })).toBe("loopback");
  });

  test("obey the task's lists", () => {
    expect(connect("10.63.1.1", { services, port: 80, policy: { internet: true, allow: ["1.1.1.1"] } })).toBe("not_in_allow_list");
    expect(connect("10.63.1.1", { services, port: 80, policy: { internet: true, allow: ["helmr.internal"] } })).toBe("allow");
    expect(connect("10.63.1.1", { services, port: 80, policy: { internet: true, deny: ["10.0.0.0/8"] } })).toBe("denied_range");
  });
});

describe("decideName()", () => {
  const verdict = (name: string, given: Given, addressQuestion = true) => {
    const decision = decideName(name, rulesOf(given), { addressQuestion });
    return decision.verdict === "deny" ? decision.reason : decision.verdict;
  };

  test("asks for nothing when the internet is closed, for anything when nothing is listed", () => {
    expect(verdict("a.example", { policy: { internet: false } })).toBe("internet_disabled");
    expect(verdict("a.example", {})).toBe("resolve");
    expect(verdict("helmr.internal", { services: "helmr.internal:80=127.0.0.1:1" })).toBe("service");
  });

  test("asks only for listed names, unless addresses are listed too", () => {
    const byName = { policy: { internet: true, allow: ["a.example", "*.b.example"] } };
    expect(["a.example", "x.b.example", "b.example", "secret.evil.example"].map((name) => verdict(name, byName))).toEqual([
      "resolve",
      "resolve",
      "not_in_allow_list",
      "not_in_allow_list",
    ]);
    const byAddress = { policy: { internet: true, allow: ["a.example", "1.1.1.1"] } };
    expect(verdict("other.example", byAddress)).toBe("resolve");
    expect(verdict("other.example", byAddress, false)).toBe("not_in_allow_list");
  });
});

test("decideAnswer() keeps an address that some port is open at", () => {
  const rules = rulesOf({ allow: ["db.corp:5432"] });
  expect(decideAnswer("db.corp", parseAddress("10.0.0.1")!, rules).verdict).toBe("allow");
  expect(decideAnswer("evil.example", parseAddress("10.0.0.1")!, rules)).toEqual({ verdict: "deny", reason: "private" });
});

describe("KnownNames", () => {
  test("forgets a name when its time is over, and keeps several for one address", () => {
    const names = new KnownNames();
    names.remember("a.example", ["1.1.1.1"], 100);
    names.remember("b.example", ["1.1.1.1", "2.2.2.2"], 200);
    expect(names.namesOf("1.1.1.1", 100)).toEqual(["a.example", "b.example"]);
    expect(names.namesOf("1.1.1.1", 101)).toEqual(["b.example"]);
    names.remember("a.example", ["1.1.1.1"], 300);
    expect(names.namesOf("1.1.1.1", 250)).toEqual(["a.example"]);
    expect(names.namesOf("1.1.1.1", 301)).toEqual([]);
    expect(names.namesOf("9.9.9.9", 0)).toEqual([]);
  });

  test("stays within its bounds", () => {
    const names = new KnownNames();
    for (let index = 0; index < 5_000; index += 1) names.remember(`n${index}.example`, [`1.1.${index >> 8}.${index & 255}`, "9.9.9.9"], 1);
    expect(names.size).toBe(2048);
    expect(names.namesOf("9.9.9.9", 0)).toHaveLength(32);
    expect(names.namesOf("9.9.9.9", 0).at(-1)).toBe("n4999.example");
  });
});
