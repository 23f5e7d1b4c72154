import { describe, expect, test } from "vitest";
import { createCredentialCache } from "./credential-cache.ts";

/** A look-up that the test answers when it wants. */
function manualFind<T>() {
  const waiting: ((value: T | undefined) => void)[] = [];
  const find = () => new Promise<T | undefined>((resolve) => waiting.push(resolve));
  return { find, waiting, answer: (value: T | undefined) => waiting.shift()?.(value) };
}

let time = 0;
const cache = () => createCredentialCache<string>({ ttlMs: 1_000, entriesMax: 2, now: () => time });

describe("the cache", () => {
  test("remembers what was found until its time is over", async () => {
    const known = cache();
    let looked = 0;
    const get = () => known.get("k", async () => `found ${(looked += 1)}`);
    expect(await get()).toBe("found 1");
    time += 999;
    expect(await get()).toBe("found 1");
    time += 1;
    expect(await get()).toBe("found 2");
  });

  test("does not remember what was not found, nor faults", async () => {
    const known = cache();
    expect(await known.get("k", async () => undefined)).toBeUndefined();
    await expect(known.get("k", () => Promise.reject(new RangeError("database away")))).rejects.toThrow("database away");
    expect(await known.get("k", async () => "now")).toBe("now");
  });

  test("requests that come together share one look-up", async () => {
    const known = cache();
    const { find, waiting, answer } = manualFind<string>();
    const both = Promise.all([known.get("k", find), known.get("k", find)]);
    expect(waiting).toHaveLength(1);
    answer("one");
    expect(await both).toEqual(["one", "one"]);
  });

  test("what was looked up while it was cleared is not kept, and newcomers look again", async () => {
    const known = cache();
    const { find, waiting, answer } = manualFind<string>();
    const before = known.get("k", find);
    known.clear();
    const after = known.get("k", find);
    expect(waiting).toHaveLength(2);
    answer("read before the change");
    expect(await before).toBe("read before the change");
    answer("read after it");
    expect(await after).toBe("read after it");
    expect(await known.get("k", async () => "not asked")).toBe("read after it");
  });

  test("holds so many and drops the oldest", async () => {
    const known = cache();
    for (const name of ["a", "b", "c"]) await known.get(name, async () => name);
    expect(await known.get("c", async () => "again")).toBe("c");
    expect(await known.get("a", async () => "again")).toBe("again");
  });
});
