/** Compiles what is C in the guest: the static tool (packages/guest/src/init), and the addon of the program's Node (packages/guest/src/random). */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { prepareArtifact, type Progress } from "./artifact.ts";
import { run } from "./command.ts";

export const guestToolSources = join(import.meta.dirname, "../packages/guest/src/init");

const addonSource = join(import.meta.dirname, "../packages/guest/src/random/kernel-random.c");
const addonFlags = [
  "-shared",
  "-fPIC",
  "-nostdlib",
  "-O2",
  "-std=gnu11",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-s",
  "-fvisibility=hidden",
  "-Wl,--build-id=none",
];
const flags = ["-static", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-s", "-Wl,--build-id=none"];

export async function prepareGuestTool(options: { directory: string; progress: Progress }): Promise<string> {
  const names = (await readdir(guestToolSources)).filter((name) => name.endsWith(".c") || name.endsWith(".h")).toSorted();
  const hash = createHash("sha256");
  for (const name of names) hash.update(`${name}\0`).update(await readFile(join(guestToolSources, name)));
  hash.update(await readFile(addonSource));
  const target = await prepareArtifact({
    directory: options.directory,
    artifact: { name: "guest-tool", inputs: { sources: hash.digest("hex"), flags: [...flags, ...addonFlags].join(" ") } },
    progress: options.progress,
    make: async (into) => {
      const sources = names.filter((name) => name.endsWith(".c"));
      await run("gcc", [...flags, "-o", join(into, "helmr-guest"), ...sources], { cwd: guestToolSources, timeoutMs: 120_000 });
      await compileRandomAddon(join(into, randomAddonName));
    },
  });
  return join(target, "helmr-guest");
}

export const randomAddonName = "kernel-random.node";

export async function compileRandomAddon(target: string): Promise<void> {
  await run("gcc", [...addonFlags, "-o", target, addonSource], { timeoutMs: 120_000 });
}
