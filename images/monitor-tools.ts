/** Three small programs that the worker's QEMU driver uses on the host (packages/worker/src/vm/qemu/host-tools says what and why). */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { prepareArtifact, type Progress } from "./artifact.ts";
import { run } from "./command.ts";

export interface MonitorTools {
  privateMemory: string;
  tscRate: string;
  passDescriptors: string;
}

const sources = join(import.meta.dirname, "../packages/worker/src/vm/qemu/host-tools");
const flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-s"];

export async function prepareMonitorTools(options: { directory: string; progress: Progress }): Promise<MonitorTools> {
  const hash = createHash("sha256");
  for (const name of ["private-memory.c", "tsc-rate.c", "pass-descriptors.c"]) hash.update(await readFile(join(sources, name)));
  const target = await prepareArtifact({
    directory: options.directory,
    artifact: { name: "monitor-tools", inputs: { sources: hash.digest("hex"), flags: flags.join(" ") } },
    progress: options.progress,
    make: async (into) => {
      await run("gcc", [...flags, "-shared", "-fPIC", "-o", join(into, "private-memory.so"), "private-memory.c"], { cwd: sources });
      for (const name of ["tsc-rate", "pass-descriptors"])
        await run("gcc", [...flags, "-o", join(into, name), `${name}.c`], { cwd: sources });
    },
  });
  return {
    privateMemory: join(target, "private-memory.so"),
    tscRate: join(target, "tsc-rate"),
    passDescriptors: join(target, "pass-descriptors"),
  };
}
