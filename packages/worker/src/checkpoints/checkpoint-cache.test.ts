import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { temporaryDirectory } from "../testing/temporary.ts";
import { CheckpointCache } from "./checkpoint-cache.ts";

const root = temporaryDirectory("checkpoint-cache");
const cutBytes = 64 * 1024;
let directory: string;
let count = 0;
beforeEach(() => {
  directory = join(root, `cache-${(count += 1)}`);
});

function cut(text: string): { memory: string; device: string } {
  const place = join(root, `cut-${(count += 1)}`);
  mkdirSync(place);
  const files = { memory: join(place, "memory"), device: join(place, "device") };
  writeFileSync(files.memory, Buffer.alloc(cutBytes, text));
  writeFileSync(files.device, text);
  return files;
}

const open = (bytesMax = 10 * cutBytes) => CheckpointCache.open({ directory, bytesMax });

test("keeps what it is given, the latest first, until it is dropped", async () => {
  const cache = await open();
  const files = cut("one");
  await cache.keep("one", files);
  await cache.keep("two", cut("two"));
  expect(existsSync(files.memory)).toBe(false);
  expect(cache.ids()).toEqual(["two", "one"]);
  const held = cache.hold("one")!;
  expect(readFileSync(held.device, "utf8")).toBe("one");
  held.release();
  await cache.drop("one");
  expect(cache.hold("one")).toBeUndefined();
  expect(existsSync(held.memory)).toBe(false);
});

test("what is held is dropped when it is given back", async () => {
  const cache = await open();
  await cache.keep("one", cut("one"));
  const held = cache.hold("one")!;
  await cache.drop("one");
  expect(cache.ids()).toEqual([]);
  expect(existsSync(held.memory)).toBe(true);
  held.release();
  held.release();
  await expect.poll(() => existsSync(held.memory)).toBe(false);
});

test("is bounded: the oldest go first, never what is held or has just come", async () => {
  const cache = await open(3 * cutBytes);
  await cache.keep("one", cut("one"));
  const held = cache.hold("one")!;
  for (const id of ["two", "three", "four"]) await cache.keep(id, cut(id));
  expect(cache.ids()).toEqual(["four", "one"]);
  held.release();
  const none = await CheckpointCache.open({ directory: `${directory}-none`, bytesMax: 0 });
  await none.keep("only", cut("only"));
  expect(none.ids()).toEqual(["only"]);
  await none.keep("next", cut("next"));
  expect(none.ids()).toEqual(["next"]);
});

test("is there again for another process, and not after another boot of the host", async () => {
  await (await open()).keep("one", cut("one"));
  mkdirSync(join(directory, "half.partial"));
  expect((await open()).ids()).toEqual(["one"]);
  expect(existsSync(join(directory, "half.partial"))).toBe(false);
  writeFileSync(join(directory, "boot-id"), "another boot");
  expect((await open()).ids()).toEqual([]);
  expect(existsSync(join(directory, "one"))).toBe(false);
});
