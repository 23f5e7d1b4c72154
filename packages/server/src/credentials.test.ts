import { createHash } from "node:crypto";
import { credentialPrefix } from "@helmr/protocol/shared";
import { describe, expect, test } from "vitest";
import { credentialHash, isIssuedForm, issueCredential, randomText, sameSecret, shownPrefix } from "./credentials.ts";

describe("issueCredential()", () => {
  test("gives prefix, 43 random characters and a checksum; the hash is the SHA-256 of the whole text", () => {
    const { text, hash } = issueCredential(credentialPrefix.apiKey);
    expect(text).toMatch(/^hlmr_sk_[0-9A-Za-z]{49}$/);
    expect(hash).toEqual(createHash("sha256").update(text).digest());
  });

  test("a login session fits the bearer form of http §1.3", () => {
    expect(issueCredential(credentialPrefix.loginSession).text).toMatch(/^[A-Za-z0-9_-]{40,}$/);
  });

  test("never repeats", () => {
    const issued = new Set(Array.from({ length: 1_000 }, () => issueCredential("x_").text));
    expect(issued.size).toBe(1_000);
  });
});

describe("isIssuedForm()", () => {
  const { text } = issueCredential(credentialPrefix.apiKey);

  test("accepts what was issued", () => expect(isIssuedForm(text, credentialPrefix.apiKey)).toBe(true));

  test("refuses every text that differs in one character", () => {
    for (let at = 0; at < text.length; at += 1) {
      const changed = text.slice(0, at) + (text[at] === "a" ? "b" : "a") + text.slice(at + 1);
      expect(isIssuedForm(changed, credentialPrefix.apiKey)).toBe(false);
    }
  });

  test.each(["", "hlmr_sk_", text.slice(0, -1), `${text}0`, ` ${text}`, `${text}\n`])("refuses %j", (other) => {
    expect(isIssuedForm(other, credentialPrefix.apiKey)).toBe(false);
  });

  test("refuses another kind", () => expect(isIssuedForm(text, credentialPrefix.worker)).toBe(false));
});

test("shownPrefix() shows 8 characters of the random part", () => {
  const { text } = issueCredential(credentialPrefix.apiKey);
  expect(shownPrefix(text, credentialPrefix.apiKey)).toBe(text.slice(0, "hlmr_sk_".length + 8));
});

test("sameSecret() compares texts of any lengths", () => {
  expect(sameSecret("setup", "setup")).toBe(true);
  expect(sameSecret("setup", "setuP")).toBe(false);
  expect(sameSecret("", "setup")).toBe(false);
  expect(sameSecret("x".repeat(10_000), "setup")).toBe(false);
});

test("randomText() uses every character about equally often", () => {
  const text = randomText(62_000);
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  expect(counts.size).toBe(62);
  // Expected 1000 each with a standard deviation of 32: eight of them is never reached by chance.
  for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(256);
});

test("credentialHash() depends on every character", () => {
  expect(credentialHash("a")).not.toEqual(credentialHash("b"));
});
