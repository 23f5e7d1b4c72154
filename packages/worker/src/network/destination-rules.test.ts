import { describe, expect, test } from "vitest";
import { parseAllowList, parseDestination, parseGuestRules, parseHostServices } from "./destination-rules.ts";

describe("parseDestination()", () => {
  test.each([
    ["10.1.2.3", { kind: "range", port: null }],
    ["10.1.2.3:5432", { kind: "range", port: 5432 }],
    ["10.1.0.0/16:443", { kind: "range", port: 443 }],
    ["fd00::1", { kind: "range", port: null }],
    ["[fd00::1]:443", { kind: "range", port: 443 }],
    ["[fd00::]", { kind: "range", port: null }],
    ["db.example.com", { kind: "name", name: "db.example.com", port: null }],
    ["DB.Example.com.:5432", { kind: "name", name: "db.example.com", port: 5432 }],
    ["*.example.com:80", { kind: "subdomains", parent: "example.com", port: 80 }],
    ["bücher.example", { kind: "name", name: "xn--bcher-kva.example" }],
    ["db", { kind: "name", name: "db" }],
  ])("reads %s", (text, rule) => {
    expect(parseDestination(text)).toMatchObject({ ok: true, value: rule });
  });

  test.each([
    ["https://db.example.com/x", /is a URL: write its host and port/],
    ["10.1.2.3/8", /bits behind its prefix: write 10\.0\.0\.0\/8/],
    ["10.1.2.3/40", /is not a CIDR/],
    ["db.example.com:0", /ports go from 1 to 65535/],
    ["db.example.com:65536", /port 65536/],
    ["db example", /is not an address/],
    ["a..b", /is not an address/],
    ["-a.example", /is not an address/],
    ["*.*.example.com", /is not an address/],
    ["*", /is not an address/],
    ["1.2.3", /is not an address/],
    ["fd00::1:99999x", /is not an address/],
    [`${"a".repeat(64)}.example`, /is not an address/],
    ["a\0b.example", /is not an address/],
  ])("refuses %j and says why", (text, problem) => {
    const parsed = parseDestination(text);
    expect(parsed.ok).toBe(false);
    expect(parsed.ok ? "" : parsed.problem).toMatch(problem);
  });
});

describe("parseAllowList()", () => {
  test("takes commas, lines and comments", () => {
    const parsed = parseAllowList("10.1.0.0/16, db.internal:5432 # the database\n# nothing\n\t*.corp.example");
    expect(parsed).toMatchObject({ ok: true, value: [{ text: "10.1.0.0/16" }, { text: "db.internal:5432" }, { text: "*.corp.example" }] });
    expect(parseAllowList(" \n")).toEqual({ ok: true, value: [] });
  });

  test("reports all problems at once", () => {
    const parsed = parseAllowList("10.0.0.1/8, ok.example, http://x");
    expect(parsed.ok ? "" : parsed.problem).toMatch(/10\.0\.0\.0\/8.*; .*http:\/\/x/);
  });

  test.each(["localhost", "localhost:80", "api.localhost", "127.0.0.1:5432", "::1", "127.0.0.0/8", "::ffff:127.0.0.1"])(
    "sends whoever lists %s to services",
    (text) => {
      const parsed = parseAllowList(text);
      expect(parsed.ok ? "" : parsed.problem).toMatch(/guest's own localhost: publish the service under a name/);
    },
  );

  test("takes a wide range that has the loopback in it, which it does not open", () => {
    expect(parseAllowList("0.0.0.0/0")).toMatchObject({ ok: true });
  });

  test("has a bound", () => {
    expect(parseAllowList("a.example,".repeat(1025))).toMatchObject({ ok: false, problem: expect.stringContaining("1025 entries") });
  });
});

describe("parseHostServices()", () => {
  test("gives each name one address and each port its target", () => {
    const parsed = parseHostServices("helmr.internal:80=127.0.0.1:4100, db.internal:5432=[::1]:5433, helmr.internal:81=127.0.0.1:4101");
    expect(parsed.ok && parsed.value.map(({ name, port, address, target }) => [name, port, address.text, target])).toEqual([
      ["helmr.internal", 80, "10.63.1.1", { host: "127.0.0.1", port: 4100 }],
      ["db.internal", 5432, "10.63.1.2", { host: "::1", port: 5433 }],
      ["helmr.internal", 81, "10.63.1.1", { host: "127.0.0.1", port: 4101 }],
    ]);
  });

  test.each([
    ["helmr.internal=127.0.0.1:80", /must be name:port=address:port/],
    ["10.0.0.1:80=127.0.0.1:80", /must be name:port=address:port/],
    ["a.internal:80=127.0.0.1", /one address and port/],
    ["a.internal:80=127.0.0.0/8:80", /one address and port/],
    ["a.internal:80=localhost:80", /one address and port/],
    ["a.internal:80=127.0.0.1:1=2", /must be name:port/],
    ["a.internal:80=127.0.0.1:1,a.internal:80=127.0.0.1:2", /names a\.internal:80 again/],
  ])("refuses %s", (text, problem) => {
    const parsed = parseHostServices(text);
    expect(parsed.ok ? "" : parsed.problem).toMatch(problem);
  });
});

describe("parseGuestRules()", () => {
  test("trims, reads every form that a build accepts, and takes an empty list for none", () => {
    const parsed = parseGuestRules({
      internet: true,
      allow: [" api.example.com ", "*.example.com", "1.2.3.4", "10.1.2.3/8", "_dmarc.example.com"],
      deny: [],
    });
    expect(parsed).toMatchObject({
      ok: true,
      value: {
        allow: [
          { kind: "name", name: "api.example.com" },
          { kind: "subdomains", parent: "example.com" },
          { kind: "range", range: { text: "1.2.3.4/32" } },
          { kind: "range", range: { text: "10.0.0.0/8" } },
          { kind: "name", name: "_dmarc.example.com" },
        ],
        deny: [],
      },
    });
    expect(parseGuestRules({ internet: true, allow: [], deny: [] })).toMatchObject({ ok: true, value: { allow: null } });
  });

  test("does not serve lists that it cannot read", () => {
    expect(parseGuestRules({ internet: true, allow: ["a b"] })).toMatchObject({ ok: false, problem: expect.stringContaining('"a b"') });
    expect(parseGuestRules({ internet: true, deny: ["example.com"] })).toMatchObject({
      ok: false,
      problem: expect.stringContaining('"example.com"'),
    });
  });
});
