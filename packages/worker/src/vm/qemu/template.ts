/**
 * Templates on disk: made by booting once, used by every start after that.
 *
 *   memory        the guest's memory, sparse; belongs to the worker and is read-only for monitors
 *   device        device state
 *   kernel        beginning of the kernel file (see command-line.ts)
 *   template.json written last, after everything else is on the disk: a directory without it is no template
 *
 * The file's time of change is recorded: a memory file that was written to afterwards is not used again.
 */
import { execFile } from "node:child_process";
import { chmod, chown, open, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Snapshot, type Template, type TemplateSpec, VmError } from "../driver.ts";

const run = promisify(execFile);
const commandMs = 60_000;
/** Enough for the boot protocol's header; 14 MB less memory per monitor than the whole kernel. */
const kernelHeadBytes = 65_536;

export const templateFiles = { memory: "memory", device: "device", kernel: "kernel", description: "template.json" } as const;

interface Description {
  version: 1;
  key: string;
  spec: TemplateSpec;
  createdAt: number;
  sizeBytes: number;
  memoryChangedNs: string;
}

export function templateSource({ directory }: Template): Pick<Snapshot, "memory" | "device"> {
  return { memory: join(directory, templateFiles.memory), device: join(directory, templateFiles.device) };
}

export async function writeKernelHead(kernel: string, target: string): Promise<void> {
  const source = await open(kernel, "r");
  try {
    const { buffer, bytesRead } = await source.read(Buffer.alloc(kernelHeadBytes), 0, kernelHeadBytes, 0);
    await writeFile(target, buffer.subarray(0, bytesRead), { mode: 0o444 });
  } finally {
    await source.close();
  }
}

/** Gives the files to the worker, takes holes out of the memory and writes the description. */
export async function sealTemplate(directory: string, key: string, spec: TemplateSpec): Promise<Template> {
  const memory = join(directory, templateFiles.memory);
  const device = join(directory, templateFiles.device);
  await run("fallocate", ["--dig-holes", memory], { timeout: commandMs });
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  for (const path of [memory, device]) {
    await chown(path, owner.uid, owner.gid);
    await chmod(path, 0o444);
    await syncFile(path);
  }
  const info = await stat(memory, { bigint: true });
  const sizeBytes = await allocatedBytes(directory);
  const description: Description = { version: 1, key, spec, createdAt: Date.now(), sizeBytes, memoryChangedNs: String(info.ctimeNs) };
  const path = join(directory, templateFiles.description);
  await writeFile(`${path}.tmp`, JSON.stringify(description, null, 2), { flush: true });
  await rename(`${path}.tmp`, path);
  return describeTemplate(directory, description);
}

/** undefined: no complete template, or one whose memory was changed after it was made. */
export async function readTemplate(directory: string): Promise<Template | undefined> {
  const text = await readFile(join(directory, templateFiles.description), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  let description: Description;
  try {
    description = JSON.parse(text) as Description;
  } catch {
    return undefined;
  }
  if (description.version !== 1 || !(await isUntouched(directory, description))) return undefined;
  return describeTemplate(directory, description);
}

/** Before every use; costs one stat. */
export async function requireUntouched(template: Template): Promise<void> {
  const found = await readTemplate(template.directory);
  if (!found || found.key !== template.key) {
    throw new VmError("restore_failed", `The template in ${template.directory} is incomplete or was changed: it must be made again`);
  }
}

async function isUntouched(directory: string, description: Description): Promise<boolean> {
  const info = await stat(join(directory, templateFiles.memory), { bigint: true }).catch(() => undefined);
  return info !== undefined && String(info.ctimeNs) === description.memoryChangedNs;
}

function describeTemplate(directory: string, { key, spec, createdAt, sizeBytes }: Description): Template {
  return { key, directory, spec, createdAt, sizeBytes };
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r");
  await file.sync();
  await file.close();
}

async function allocatedBytes(directory: string): Promise<number> {
  const sizes = [templateFiles.memory, templateFiles.device, templateFiles.kernel].map(
    async (name) => (await stat(join(directory, name))).blocks * 512,
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
