import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { findCgroups } from "./host-cgroups.ts";

const mib = 1024 * 1024;

test("a process is placed, limited again and its group removed; or the reason is told", async () => {
  const cgroups = await findCgroups("helmr-test");
  expect(cgroups.explanation).toMatch(/control group/);
  const child = spawn("sleep", ["60"]);
  const id = `unit-${process.pid}`;
  await cgroups.place(id, child.pid as number, { milliCpu: 500, memoryBytes: 64 * mib, tasks: 10 });
  const placed = (await cgroups.list()).includes(id);
  if (placed) expect(await readFile(`/proc/${child.pid}/cgroup`, "utf8")).toContain(`helmr-test/${id}`);
  await cgroups.limit(id, { milliCpu: 1500, memoryBytes: 128 * mib, tasks: 20 });
  child.kill("SIGKILL");
  await once(child, "exit");
  await cgroups.remove(id);
  await cgroups.remove(id);
  expect(await cgroups.list()).not.toContain(id);
  await cgroups.dissolve();
});
