/** Builds the web console once and again when its sources changed. */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { LocalError } from "./local-error.ts";
import { newestChange } from "./source-files.ts";

const consoleSources = join(import.meta.dirname, "..", "..", "console");

export async function buildConsole(target: string, say: (line: string) => void): Promise<void> {
  const changed = String(await newestChange([consoleSources]));
  const stamp = `${target}.built`;
  if ((await readFile(stamp, "utf8").catch(() => "")) === changed) return;
  say("console …");
  const staging = `${target}.new`;
  await rm(staging, { recursive: true, force: true });
  const vite = join(import.meta.dirname, "..", "..", "..", "node_modules", "vite", "bin", "vite.js");
  const child = spawn(process.execPath, [vite, "build", "--outDir", staging, "--emptyOutDir", "--logLevel", "warn"], {
    cwd: consoleSources,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (output += data.toString()));
  const code = await new Promise<number | null>((resolve) => {
    child.once("error", () => resolve(null));
    child.once("close", resolve);
  });
  if (code !== 0)
    throw new LocalError(`The console could not be built: ${output.trim().split("\n").slice(-5).join("\n")}`, "npm ci, then ./helmr up");
  await rm(target, { recursive: true, force: true });
  await rename(staging, target);
  await writeFile(stamp, changed);
}
