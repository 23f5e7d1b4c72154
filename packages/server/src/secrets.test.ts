import { describe, expect, test } from "vitest";
import { generateKeyRing, withNewRoot } from "./key-ring.ts";
import { openKeys } from "./secrets.ts";

const ring = generateKeyRing();
const keys = openKeys(ring);
const rotated = openKeys(withNewRoot(withNewRoot(withNewRoot(ring, "secrets"), "tokens"), "content"));
const org = "01980a00-0000-7000-8000-000000000012";

describe("seal() and open()", () => {
  const plain = Buffer.from("pässwörd\0");
  const sealed = keys.seal("secrets", plain, "env/NAME");

  test("give the same bytes back, the empty value included", () => {
    expect(keys.open("secrets", sealed, "env/NAME")).toEqual({ ok: true, plain });
    expect(keys.open("secrets", keys.seal("secrets", Buffer.alloc(0), "x"), "x")).toEqual({ ok: true, plain: Buffer.alloc(0) });
  });

  test("name the key and differ each time", () => {
    expect(sealed.keyId).toBe(ring.secrets[0].id);
    expect(keys.seal("secrets", plain, "env/NAME").bytes).not.toEqual(sealed.bytes);
    expect(sealed.bytes.includes(plain)).toBe(false);
  });

  test("a ciphertext cannot be moved to another name, purpose or be changed in any byte", () => {
    expect(keys.open("secrets", sealed, "env/OTHER")).toEqual({ ok: false, reason: "corrupt" });
    expect(keys.open("content", { ...sealed, keyId: ring.content[0].id }, "env/NAME")).toEqual({ ok: false, reason: "corrupt" });
    for (let at = 0; at < sealed.bytes.length; at += 1) {
      const bytes = Buffer.from(sealed.bytes);
      bytes[at]! ^= 1;
      expect(keys.open("secrets", { ...sealed, bytes }, "env/NAME")).toEqual({ ok: false, reason: "corrupt" });
    }
    for (let length = 0; length < sealed.bytes.length; length += 1) {
      expect(keys.open("secrets", { ...sealed, bytes: sealed.bytes.subarray(0, length) }, "env/NAME").ok).toBe(false);
    }
  });

  test("after a rotation old values open and new ones name the new key", () => {
    expect(rotated.open("secrets", sealed, "env/NAME")).toEqual({ ok: true, plain });
    const fresh = rotated.seal("secrets", plain, "env/NAME");
    expect(fresh.keyId).toBe(rotated.currentKeyId("secrets"));
    expect(keys.open("secrets", fresh, "env/NAME")).toEqual({ ok: false, reason: "unknown_key" });
  });
});

describe("sign() and verify()", () => {
  const payload = JSON.stringify({ state: "s", next: "/ü" });

  test("give the payload back for the same use only", () => {
    const signed = keys.sign("login", "flow", payload);
    expect(signed).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(keys.verify("login", "flow", signed)).toBe(payload);
    expect(keys.verify("login", "other", signed)).toBeUndefined();
    expect(keys.verify("tokens", "flow", signed)).toBeUndefined();
    expect(openKeys(generateKeyRing()).verify("login", "flow", signed)).toBeUndefined();
  });

  test("a changed payload, key id or signature is refused", () => {
    const [body, id, mac] = keys.sign("login", "flow", payload).split(".") as [string, string, string];
    const forged = Buffer.from(payload.replace("s", "t")).toString("base64url");
    for (const text of [
      "",
      ".",
      "..",
      `${forged}.${id}.${mac}`,
      `${body}.k-other.${mac}`,
      `${body}.${id}.`,
      `${body}.${id}`,
      `${body}.${id}.${mac}.x`,
    ]) {
      expect(keys.verify("login", "flow", text)).toBeUndefined();
    }
  });
});

describe("deriveToken()", () => {
  const text = keys.deriveToken("hlmr_callback_", "token-1");

  test("is the same each time and different for every prefix and subject", () => {
    expect(keys.deriveToken("hlmr_callback_", "token-1")).toBe(text);
    expect(text).toMatch(/^hlmr_callback_[\w-]{43}$/);
    expect(keys.deriveToken("hlmr_callback_", "token-2")).not.toBe(text);
    expect(keys.deriveToken("hlmr_public_access_", "token-1").slice(-43)).not.toBe(text.slice(-43));
  });

  test("isDerivedToken() accepts it, also after a rotation, and nothing else", () => {
    expect(keys.isDerivedToken(text, "hlmr_callback_", "token-1")).toBe(true);
    expect(rotated.isDerivedToken(text, "hlmr_callback_", "token-1")).toBe(true);
    for (const other of ["", "hlmr_callback_", `${text}=`, `${text}A`, text.slice(0, -1)])
      expect(keys.isDerivedToken(other, "hlmr_callback_", "token-1")).toBe(false);
    expect(keys.isDerivedToken(text, "hlmr_callback_", "token-2")).toBe(false);
    expect(keys.isDerivedToken(text, "hlmr_public_access_", "token-1")).toBe(false);
  });
});

describe("storageKeys()", () => {
  test("differ between organizations and between uses", () => {
    const one = keys.storageKeys(org);
    const other = keys.storageKeys("01980a00-0000-7000-8000-000000000013");
    expect(one.idKey).not.toEqual(other.idKey);
    expect(one.contentKeys.get(one.current)).not.toEqual(other.contentKeys.get(other.current));
    expect(one.contentKeys.get(one.current)).not.toEqual(one.idKey);
  });

  test("a rotation adds a content key and leaves chunk ids alone", () => {
    const before = keys.storageKeys(org);
    const after = rotated.storageKeys(org);
    expect(after.idKey).toEqual(before.idKey);
    expect(after.current).not.toBe(before.current);
    expect(after.contentKeys.get(before.current)).toEqual(before.contentKeys.get(before.current));
    expect(after.contentKeys.size).toBe(2);
  });
});

test("mac() names its key; checkMac() checks against one key or all", () => {
  const { keyId, mac } = keys.mac("worker", "grants", "GET /x");
  expect(keys.checkMac("worker", "grants", { message: "GET /x", mac, keyId })).toBe(true);
  expect(keys.checkMac("worker", "grants", { message: "GET /x", mac })).toBe(true);
  expect(keys.checkMac("worker", "grants", { message: "GET /x", mac, keyId: "k-unknown" })).toBe(false);
  expect(keys.checkMac("worker", "grants", { message: "GET /y", mac })).toBe(false);
  expect(keys.checkMac("worker", "grants", { message: "GET /x", mac: mac.subarray(1) })).toBe(false);
});
