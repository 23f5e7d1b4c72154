import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Accounts, openAccounts } from "./accounts.fixture.ts";
import { addressBlock, takeRateToken } from "./take-rate-token.ts";

let accounts: Accounts;
beforeAll(async () => {
  accounts = await openAccounts();
});
afterAll(() => accounts.close());

// A token every 1000 seconds: no test takes that long.
const rule = { name: "test", burst: 5, refillMs: 5_000_000 };
const take = (subject: string) => takeRateToken(accounts.context.db, rule, subject);

describe("takeRateToken()", () => {
  test("gives the burst and no more, also at once; then says when to come again", async () => {
    const outcomes = await Promise.all(Array.from({ length: 12 }, () => take("a")));
    expect(outcomes.filter((outcome) => outcome === undefined)).toHaveLength(5);
    for (const refused of outcomes.filter((outcome) => outcome !== undefined)) {
      expect(refused).toMatchObject({ status: 503 });
      expect(refused.retryAfterSeconds).toBeGreaterThanOrEqual(1);
      expect(refused.retryAfterSeconds).toBeLessThanOrEqual(1_000);
    }
    expect(await take("b")).toBeUndefined();
  });

  test("fills up with time, to the burst at most", async () => {
    await Promise.all(Array.from({ length: 5 }, () => take("c")));
    expect(await take("c")).toBeDefined();
    await accounts.sql("update rate_limits set updated_at = updated_at - interval '1000 seconds'");
    expect(await take("c")).toBeUndefined();
    expect(await take("c")).toBeDefined();
    await accounts.sql("update rate_limits set updated_at = updated_at - interval '1 day'");
    const outcomes = [];
    for (let count = 0; count < 7; count += 1) outcomes.push(await take("c"));
    expect(outcomes.filter((outcome) => outcome === undefined)).toHaveLength(5);
  });

  test("rules have buckets of their own, and the table holds no subject", async () => {
    await takeRateToken(accounts.context.db, { ...rule, name: "other" }, "203.0.113.7");
    const rows = await accounts.sql("select * from rate_limits");
    expect(JSON.stringify(rows)).not.toContain("203.0.113");
  });
});

describe("addressBlock()", () => {
  test.each([
    ["203.0.113.7", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2::9", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"],
  ])("%s is %s", (address, block) => expect(addressBlock(address)).toBe(block));

  test("addresses of one /64 share a block, others do not", () => {
    expect(addressBlock("2001:db8:1:2::1")).toBe(addressBlock("2001:db8:1:2:ffff::1"));
    expect(addressBlock("2001:db8:1:2::1")).not.toBe(addressBlock("2001:db8:1:3::1"));
  });
});
