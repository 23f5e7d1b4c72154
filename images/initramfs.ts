/** The first file system of a guest: the C tool as /init and the modules, nothing else. Uncompressed, which boots as fast and is simpler. */
import { readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { prepareArtifact, type Progress } from "./artifact.ts";
import { cpioArchive, type CpioEntry } from "./cpio.ts";
import type { Kernel } from "./kernel.ts";

export async function prepareInitramfs(options: {
  directory: string;
  progress: Progress;
  kernel: Kernel;
  guestTool: string;
}): Promise<string> {
  const { kernel, guestTool } = options;
  const target = await prepareArtifact({
    directory: options.directory,
    // Both ingredients are named after their content.
    artifact: { name: "initramfs", inputs: { kernel: basename(dirname(kernel.vmlinuz)), tool: basename(dirname(guestTool)), recipe: 1 } },
    progress: options.progress,
    make: async (into) => {
      const entries: CpioEntry[] = [
        { kind: "file", path: "init", mode: 0o755, content: await readFile(guestTool) },
        { kind: "directory", path: "dev", mode: 0o755 },
        // The kernel opens it for PID 1 before anything is mounted.
        { kind: "device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
        { kind: "directory", path: "modules", mode: 0o755 },
        { kind: "file", path: "modules/order", mode: 0o644, content: Buffer.from(kernel.modules.join("\n")) },
      ];
      for (const name of kernel.modules) {
        entries.push({ kind: "file", path: `modules/${name}`, mode: 0o644, content: await readFile(join(kernel.modulesDirectory, name)) });
      }
      await writeFile(join(into, "initramfs.cpio"), cpioArchive(entries));
    },
  });
  return join(target, "initramfs.cpio");
}
