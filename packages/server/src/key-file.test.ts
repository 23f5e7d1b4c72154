import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KeyFileError, loadKeyRing, readKeyFile } from "./key-file.ts";
import { generateKeyRing, keyRingText } from "./key-ring.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "helmr-key-file-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test("is made once, readable by its owner only, and read again later", async () => {
  const path = join(directory, "state", "keys.json");
  const ring = await readKeyFile(path, { create: true });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readFile(path, "utf8")).toBe(keyRingText(ring));
  expect(await readKeyFile(path, { create: true })).toEqual(ring);
  expect(await readKeyFile(path, { create: false })).toEqual(ring);
});

test("processes that start at once agree on one ring and leave no other file", async () => {
  const path = join(directory, "keys.json");
  const rings = await Promise.all(Array.from({ length: 8 }, () => readKeyFile(path, { create: true })));
  expect(new Set(rings.map(keyRingText)).size).toBe(1);
  expect(await readdir(directory)).toEqual(["keys.json"]);
});

test("a missing file is an error with the next step when none may be made", async () => {
  await expect(readKeyFile(join(directory, "keys.json"), { create: false })).rejects.toThrow(
    /Cannot read the key file .*keys\.json: ENOENT\. Restore it from a backup/,
  );
});

test("a file that others may read is refused", async () => {
  const path = join(directory, "keys.json");
  await readKeyFile(path, { create: true });
  await chmod(path, 0o640);
  await expect(readKeyFile(path, { create: true })).rejects.toThrow(`chmod 600 ${path}`);
});

test("a damaged file is refused and kept", async () => {
  const path = join(directory, "keys.json");
  await writeFile(path, "{}", { mode: 0o600 });
  await expect(readKeyFile(path, { create: true })).rejects.toThrow(KeyFileError);
  expect(await readFile(path, "utf8")).toBe("{}");
});

test("keys of checkpoints may be given apart: the first seals, the others and the ring's own stay readable", async () => {
  const ring = generateKeyRing();
  const own = ring.content[0];
  const key = (byte: number) => Buffer.alloc(32, byte);
  const load = (checkpointKey: string) => loadKeyRing({ mode: "self_hosted", keyFile: "", keyRing: keyRingText(ring), checkpointKey });
  const both = await load(`new:${key(1).toString("base64")}, old:${key(2).toString("base64")}`);
  expect(both.content.map((root) => root.id)).toEqual(["new", "old", own.id]);
  expect({ ...both, content: ring.content }).toEqual(ring);
  expect((await load(`${own.id}:${own.key.toString("base64")}`)).content).toEqual([own]);
  await expect(load("new:short")).rejects.toThrow(/HELMR_CHECKPOINT_ENCRYPTION_KEY: key "new".* must be the base64 of 32 bytes/);
  await expect(load(`${own.id}:${key(3).toString("base64")}`)).rejects.toThrow(/is another key in the key ring/);
  await expect(load(`a:${key(1).toString("base64")},a:${key(1).toString("base64")}`)).rejects.toThrow(/used twice/);
});

test("loadKeyRing() takes the ring of the environment before any file, and makes a file on one machine only", async () => {
  const keyFile = join(directory, "keys.json");
  const given = generateKeyRing();
  expect(await loadKeyRing({ mode: "self_hosted", keyFile, keyRing: keyRingText(given) })).toEqual(given);
  await expect(loadKeyRing({ mode: "self_hosted", keyFile, keyRing: "" })).rejects.toThrow(KeyFileError);
  await expect(loadKeyRing({ mode: "local", keyFile, keyRing: "{}" })).rejects.toThrow(/HELMR_KEY_RING: the key ring needs/);
  const made = await loadKeyRing({ mode: "local", keyFile, keyRing: "" });
  expect(await loadKeyRing({ mode: "self_hosted", keyFile, keyRing: "" })).toEqual(made);
});
