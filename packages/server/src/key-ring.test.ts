import { describe, expect, test } from "vitest";
import { generateKeyRing, keyPurposes, keyRingText, parseKeyRing, withNewRoot } from "./key-ring.ts";

const plain = () => JSON.parse(keyRingText(generateKeyRing())) as Record<string, { id: string; key: string }[]>;
const problemsOf = (value: unknown) => {
  const parsed = parseKeyRing(typeof value === "string" ? value : JSON.stringify(value));
  return parsed.ok ? [] : parsed.problems;
};

describe("parseKeyRing()", () => {
  test("reads back what keyRingText() wrote", () => {
    const ring = generateKeyRing();
    expect(parseKeyRing(keyRingText(ring))).toEqual({ ok: true, ring });
  });

  test("every purpose has a root of its own", () => {
    const ring = generateKeyRing();
    expect(new Set(keyPurposes.map((purpose) => ring[purpose][0].key.toString("hex"))).size).toBe(keyPurposes.length);
  });

  test("names all problems at once and repeats no key material", () => {
    const value = { ...plain(), login: [], secrets: [{ id: "k1", key: "c2hvcnQtc2VjcmV0" }], surplus: [] };
    expect(problemsOf(value)).toEqual([
      'the key ring has the unknown purpose "surplus"; known are login, worker, grants, tokens, secrets, content, chunk_ids',
      "the key ring needs a list of 1 to 32 keys for the purpose login",
      'key "k1" of the purpose secrets must be the base64 of 32 bytes',
    ]);
    expect(problemsOf(value).join()).not.toContain("c2hvcnQtc2VjcmV0");
  });

  test.each([["not json"], ["[]"], ["null"], ["3"]])("refuses %s", (text) => expect(problemsOf(text)).toHaveLength(1));

  test("refuses bad and repeated ids", () => {
    const { key } = plain()["login"]![0]!;
    expect(problemsOf({ ...plain(), login: [{ id: "K 1", key }] })[0]).toContain("needs an id that matches");
    expect(
      problemsOf({
        ...plain(),
        login: [
          { id: "k1", key },
          { id: "k1", key },
        ],
      })[0],
    ).toBe('key id "k1" of the purpose login is used twice');
  });

  test("chunk ids have one key for ever", () => {
    const [root] = plain()["chunk_ids"]!;
    expect(problemsOf({ ...plain(), chunk_ids: [root, { ...root, id: "k2" }] })).toEqual([
      "the key ring needs a list of exactly 1 key for the purpose chunk_ids",
    ]);
  });
});

test("withNewRoot() puts a new root first and keeps the old ones", () => {
  const ring = generateKeyRing();
  const rotated = withNewRoot(ring, "secrets");
  expect(rotated.secrets.map((root) => root.id)).toEqual([expect.not.stringMatching(`^${ring.secrets[0].id}$`), ring.secrets[0].id]);
  expect(rotated.login).toBe(ring.login);
});
