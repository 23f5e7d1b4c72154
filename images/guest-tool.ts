/** Compiles the guest's static C tool (packages/guest/src/init). */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { prepareArtifact, type Progress } from "./artifact.ts";
import { run } from "./command.ts";

export const guestToolSources = join(import.meta.dirname, "../packages/guest/src/init");

const flags = ["-static", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-s", "-Wl,--build-id=none"];

export async function prepareGuestTool(options: { directory: string; progress: Progress }): Promise<string> {
  const names = (await readdir(guestToolSources)).filter((name) => name.endsWith(".c") || name.endsWith(".h")).toSorted();
  const hash = createHash("sha256");
  for (const name of names) hash.update(`${name}\0`).update(await readFile(join(guestToolSources, name)));
  const target = await prepareArtifact({
    directory: options.directory,
    artifact: { name: "guest-tool", inputs: { sources: hash.digest("hex"), flags: flags.join(" ") } },
    progress: options.progress,
    make: async (into) => {
      const sources = names.filter((name) => name.endsWith(".c"));
      await run("gcc", [...flags, "-o", join(into, "helmr-guest"), ...sources], { cwd: guestToolSources, timeoutMs: 120_000 });
    },
  });
  return join(target, "helmr-guest");
}
