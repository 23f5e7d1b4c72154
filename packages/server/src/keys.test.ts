import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deriveKey, keyPurposes, loadKeys, temporaryKeys } from "./keys.ts";

describe("loadKeys()", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "helmr-keys-"));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  test("names every missing file unless it may generate", async () => {
    await expect(loadKeys(join(directory, "none"), { generate: false })).rejects.toThrow(
      /login\.json does not exist[^]*storage\.json does not exist/,
    );
  });

  test("processes that start at once agree on the keys, which only their owner can read", async () => {
    const [a, b] = await Promise.all([1, 2, 3].map(() => loadKeys(join(directory, "new"), { generate: true })));
    for (const purpose of keyPurposes) {
      expect(a?.[purpose].root(a[purpose].current)).toEqual(b?.[purpose].root(b[purpose].current));
      expect((await stat(join(directory, "new", `${purpose}.json`))).mode & 0o777).toBe(0o600);
    }
  });
});

describe("deriveKey()", () => {
  test("differs by use and by purpose, and is nothing for an unknown id", () => {
    const keys = temporaryKeys();
    expect(deriveKey(keys.storage, "a")).toEqual(deriveKey(keys.storage, "a"));
    expect(deriveKey(keys.storage, "a")).not.toEqual(deriveKey(keys.storage, "b"));
    expect(deriveKey(keys.storage, "a")).not.toEqual(deriveKey(keys.grants, "a"));
    expect(deriveKey(keys.storage, "a", "other")).toBeUndefined();
  });
});
