import { expect, test } from "vitest";
import { watchMemory } from "./memory-watch.ts";

test("says so while the host has less than its reserve, and never without one", async () => {
  let told = 0;
  let available = 600;
  const watch = watchMemory(
    512,
    () => (told += 1),
    async () => available,
  );
  await watch.look();
  expect(told).toBe(0);
  available = 511;
  await watch.look();
  await watch.look();
  expect(told).toBe(2);
  watch.stop();
  const none = watchMemory(
    0,
    () => (told += 1),
    async () => 0,
  );
  await none.look();
  none.stop();
  expect(told).toBe(2);
});

test("reads the host's own number", async () => {
  let told = 0;
  const watch = watchMemory(Number.MAX_SAFE_INTEGER, () => (told += 1));
  await watch.look();
  watch.stop();
  expect(told).toBe(1);
});
