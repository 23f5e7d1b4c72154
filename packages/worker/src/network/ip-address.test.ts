import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addressBytes,
  addressFromBytes,
  contains,
  hasHostBits,
  isSingleAddress,
  makeAddress,
  parseAddress,
  parseRange,
} from "./ip-address.ts";

describe("parseAddress()", () => {
  test.each([
    ["1.2.3.4", "1.2.3.4"],
    ["::", "::"],
    ["::1", "::1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8::0:1:0:0:0", "2001:db8:0:0:1::"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"],
    ["64:ff9b::10.0.0.1", "64:ff9b::a00:1"],
    ["::ffff:127.0.0.1", "127.0.0.1"],
    ["::ffff:7f00:1", "127.0.0.1"],
    ["0:0:0:0:0:ffff:10.1.2.3", "10.1.2.3"],
  ])("writes %s as %s", (given, canonical) => {
    expect(parseAddress(given)?.text).toBe(canonical);
  });

  test.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4",
    "0x7f.0.0.1",
    "127.1",
    "2130706433",
    "fe80::1%eth0",
    "::g",
    "1::2::3",
    "[::1]",
    " 1.2.3.4",
  ])("does not take %j for an address", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test("is the inverse of writing, for every address of both families", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })), (bytes) => {
        const address = addressFromBytes(bytes);
        expect(isIP(address.text)).toBe(address.family);
        expect(parseAddress(address.text)).toEqual(address);
        if (address.family === 4 ? bytes.length === 4 : true) expect([...addressBytes(address)]).toEqual([...bytes]);
      }),
    );
  });
});

describe("parseRange()", () => {
  test("holds its first and last address and nothing beyond", () => {
    const range = parseRange("10.1.0.0/16");
    const within = (text: string) => contains(range!, parseAddress(text)!);
    expect(["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3"].map(within)).toEqual([true, true, true]);
    expect(["10.0.255.255", "10.2.0.0", "::10.1.0.1"].map(within)).toEqual([false, false, false]);
  });

  test("a range of mapped addresses is a range of IPv4", () => {
    expect(parseRange("::ffff:10.0.0.0/104")).toMatchObject({ family: 4, text: "10.0.0.0/8" });
    expect(parseRange("::ffff:0:0/90")).toMatchObject({ family: 6 });
  });

  test("an address alone is a range of one", () => {
    expect(isSingleAddress(parseRange("fd00::1")!)).toBe(true);
    expect(isSingleAddress(parseRange("fd00::/127")!)).toBe(false);
    expect(contains(parseRange("0.0.0.0/0")!, parseAddress("255.255.255.255")!)).toBe(true);
  });

  test("says when bits stand behind the prefix", () => {
    expect(hasHostBits("10.1.2.3/8", parseRange("10.1.2.3/8")!)).toBe(true);
    expect(hasHostBits("10.0.0.0/8", parseRange("10.0.0.0/8")!)).toBe(false);
  });

  test.each(["10.0.0.0/33", "::/129", "10.0.0.0/", "/8", "10.0.0.0/8/8", "10.0.0.0/-1", "a/8", "fe80::%1/64"])(
    "does not take %j for a range",
    (text) => {
      expect(parseRange(text)).toBeUndefined();
    },
  );

  test("agrees with plain arithmetic on every prefix", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }),
        fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }),
        fc.integer({ min: 0, max: 32 }),
        (base, other, prefix) => {
          const range = parseRange(`${makeAddress(4, base).text}/${prefix}`)!;
          const same = base >> BigInt(32 - prefix) === other >> BigInt(32 - prefix);
          expect(contains(range, makeAddress(4, other))).toBe(same);
        },
      ),
    );
  });
});
