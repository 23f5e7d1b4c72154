import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { until } from "@helmr/test/services";
import { afterEach, beforeEach, expect, test } from "vitest";
import { imageFromDirectory } from "./disk-image.ts";

const run = promisify(execFile);
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "disk-image-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function tree(name: string, order: readonly string[]): Promise<string> {
  const path = join(directory, name);
  await mkdir(join(path, "some/where"), { recursive: true });
  for (const file of order) await writeFile(join(path, "some/where", file), file.repeat(3000));
  await chmod(join(path, "some/where", "script"), 0o755);
  await symlink("some/where/script", join(path, "link"));
  return path;
}

test("equal trees give equal bytes, whenever and in whatever order they were made", async () => {
  const names = ["script", "b", "a", "with space"];
  const one = await tree("one", names);
  await imageFromDirectory({ source: one, target: join(directory, "one.ext4"), name: "same" });
  // Another second, so that a time that slipped in would show.
  const second = (): number => Math.floor(Date.now() / 1000);
  const before = second();
  await until("the next second", () => second() > before, 2_000);
  const other = await tree("other", names.toReversed());
  await imageFromDirectory({ source: other, target: join(directory, "other.ext4"), name: "same" });
  await imageFromDirectory({ source: one, target: join(directory, "again.ext4"), name: "same" });
  const [first, later, third] = await Promise.all(["one", "other", "again"].map((name) => readFile(join(directory, `${name}.ext4`))));
  expect(first?.equals(later as Buffer)).toBe(true);
  expect(first?.equals(third as Buffer)).toBe(true);
});

test("the image holds the tree and is sound", async () => {
  const image = join(directory, "image.ext4");
  await imageFromDirectory({ source: await tree("tree", ["script"]), target: image, name: "sound" });
  expect((await run("debugfs", ["-R", "cat /some/where/script", image])).stdout).toBe("script".repeat(3000));
  expect((await run("debugfs", ["-R", "stat /some/where/script", image])).stdout).toMatch(/Mode: {2}0755/);
  expect((await run("debugfs", ["-R", "stat /link", image])).stdout).toContain('Fast link dest: "some/where/script"');
  await run("e2fsck", ["-fn", image]);
});
