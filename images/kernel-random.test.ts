/** The addon of the program's Node, compiled as for a guest, in a process of its own. That two restores draw apart: worker/src/vm/guest-session.vm.test.ts. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compileRandomAddon, randomAddonName } from "./guest-tool.ts";

const place = mkdtempSync(join(tmpdir(), "helmr-random-"));
const addon = join(place, randomAddonName);
const program = pathToFileURL(join(import.meta.dirname, "../packages/guest/src/program/randomness.ts")).href;
beforeAll(() => compileRandomAddon(addon));
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** What the script's default export is; it runs in a new process with the generators replaced, if `file` is an addon. */
async function inProcess(file: string, script: string): Promise<unknown> {
  const text = `
    import { useKernelRandomness } from ${JSON.stringify(program)};
    const native = Object.getOwnPropertyDescriptor(Math, "random");
    const randomness = useKernelRandomness(${JSON.stringify(file)});
    console.log(JSON.stringify(await (async () => { ${script} })()));`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", text], { timeout: 60_000 });
  return JSON.parse(stdout);
}

test("OpenSSL asks the kernel, for keys as for bytes, in all threads; what is made with it is sound", async () => {
  const seen = await inProcess(
    addon,
    `const module = { exports: {} };
     process.dlopen(module, ${JSON.stringify(addon)});
     const crypto = await import("node:crypto");
     const pairs = [crypto.generateKeyPairSync("rsa", { modulusLength: 1024 }), crypto.generateKeyPairSync("ec", { namedCurve: "P-256" })];
     const signed = pairs.map(({ privateKey, publicKey }) => crypto.verify("sha256", "text", publicKey, crypto.sign("sha256", "text", privateKey)));
     const bytes = await Promise.all(Array.from({ length: 50 }, () => new Promise((resolve) => crypto.randomBytes(16, (_, part) => resolve(part.toString("hex"))))));
     return { asks: module.exports.opensslAsksTheKernel, signed, different: new Set(bytes).size };`,
  );
  expect(seen).toEqual({ asks: true, signed: [true, true], different: 50 });
});

test("Math.random looks as it did, spreads evenly, and never gives the same again", async () => {
  const seen = (await inProcess(
    addon,
    `const own = Object.getOwnPropertyDescriptor(Math, "random");
     const values = Array.from({ length: 100_000 }, () => Math.random());
     randomness.forget();
     const buckets = Array.from({ length: 10 }, () => 0);
     for (const value of values) buckets[Math.floor(value * 10)] += 1;
     return { replaced: own.value !== native.value, alike: own.writable === native.writable && own.enumerable === native.enumerable && own.value.name === "random" && own.value.length === 0,
              different: new Set([...values, ...Array.from({ length: 1_000 }, Math.random)]).size, least: Math.min(...buckets), within: values.every((value) => value >= 0 && value < 1) };`,
  )) as { least: number };
  expect(seen).toMatchObject({ replaced: true, alike: true, different: 101_000, within: true });
  // 10,000 each; 7 standard deviations.
  expect(seen.least).toBeGreaterThan(9_300);
});

test("without an addon that fits, everything is as it was", async () => {
  const broken = join(place, "broken.node");
  writeFileSync(broken, "not an addon");
  for (const file of [broken, join(place, "nowhere.node")])
    expect(
      await inProcess(file, `randomness.forget(); return Object.getOwnPropertyDescriptor(Math, "random").value === native.value;`),
    ).toBe(true);
});
