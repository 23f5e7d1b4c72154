import { closeSync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { dataExtents } from "../disks/data-extents.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { differMemory, patchMemory } from "./memory-difference.ts";

const root = temporaryDirectory("memory-difference");
const page = 4096;
let count = 0;

function file(lengthBytes: number, pages: Record<number, number>): string {
  count += 1;
  const path = join(root, `file-${count}`);
  const fd = openSync(path, "wx");
  ftruncateSync(fd, lengthBytes);
  for (const [index, value] of Object.entries(pages)) writeSync(fd, Buffer.alloc(page, value), 0, page, Number(index) * page);
  closeSync(fd);
  return path;
}

const now = () => undefined;

async function difference(memory: string, template: string): Promise<{ path: string; bytes: number }> {
  const path = join(root, `difference-${(count += 1)}`);
  const extents = { memory: await dataExtents(memory), template: await dataExtents(template) };
  return { path, bytes: await differMemory({ memory, template, target: path, extents }, now) };
}

async function restored(template: string, path: string): Promise<Buffer> {
  const target = join(root, `restored-${(count += 1)}`);
  await copyFile(template, target);
  await patchMemory({ difference: path, target }, now);
  return readFileSync(target);
}

test.each([page, 3 * page, 256 * page, 257 * page, 300 * page, 40_000 * page])(
  "%i bytes of memory come back whole",
  async (lengthBytes) => {
    const last = lengthBytes / page - 1;
    const template = file(lengthBytes, { 0: 1, [last]: 2, [Math.floor(last / 2)]: 3 });
    const memory = file(lengthBytes, { 0: 1, [last]: 9, [Math.floor(last / 3)]: 4, [Math.floor(last / 2)]: 0 });
    const { path } = await difference(memory, template);
    expect((await restored(template, path)).equals(readFileSync(memory))).toBe(true);
  },
);

test("costs the pages that differ, however much there is", { timeout: 60_000 }, async () => {
  const pages = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [index * 3, (index % 250) + 1]));
  const template = file(64 * 1024 * 1024, pages);
  const memory = file(64 * 1024 * 1024, { ...pages, 3: 77, 5: 78, 6_000: 79 });
  const { path, bytes } = await difference(memory, template);
  expect(bytes).toBe(3 * page);
  expect(statSync(path).blocks * 512).toBeLessThan(64 * 1024);
  expect((await restored(template, path)).equals(readFileSync(memory))).toBe(true);
});

test("a page that became zero is told from one that did not change", async () => {
  const template = file(16 * page, { 2: 5, 3: 6 });
  const memory = file(16 * page, { 3: 6 });
  const { path, bytes } = await difference(memory, template);
  expect(bytes).toBe(page);
  expect((await restored(template, path))[2 * page]).toBe(0);
});

test("random memories, seed by seed", { timeout: 60_000 }, async () => {
  for (let seed = 1; seed <= 12; seed += 1) {
    let state = seed;
    const random = (max: number) => (state = (state * 48_271) % 2_147_483_647) % max;
    const length = (1 + random(700)) * page;
    const make = () => file(length, Object.fromEntries(Array.from({ length: random(400) }, () => [random(length / page), random(4)])));
    const [template, memory] = [make(), make()];
    const { path } = await difference(memory, template);
    expect((await restored(template, path)).equals(readFileSync(memory)), `seed ${seed}`).toBe(true);
  }
});
