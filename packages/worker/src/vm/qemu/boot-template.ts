/**
 * Makes a template: boots the guest with nothing of a tenant in it, waits until its supervisor has said hello, writes memory and device state,
 * ends the monitor, and proves the result by restoring it once. The directory is a template only when all of that has worked.
 */
import { randomBytes } from "node:crypto";
import { chown, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { channelPreamble } from "@helmr/protocol/guest";
import { type Template, type TemplateSpec, VmError } from "../driver.ts";
import { networkSyncFrame } from "../network-sync.ts";
import { skipUntil } from "../skip-until.ts";
import { vmLimits } from "../limits.ts";
import { within } from "../limited-time.ts";
import { Undo } from "../undo.ts";
import { asVmError, type CloneContext, makeClone } from "./clone.ts";
import { kernelCommandLine, monitorArguments } from "./command-line.ts";
import { DescriptorTable, launchMonitor, type Monitor } from "./launch.ts";
import { readConsole } from "./machine.ts";
import type { MonitorUser } from "./machine-directory.ts";
import { prepareMigration, saveDeviceState } from "./snapshot.ts";
import { askSupervisor, untilMessage } from "./supervisor-question.ts";
import { sealTemplate, templateFiles, templateSource, writeKernelHead } from "./template.ts";

export interface TemplateRequest {
  context: CloneContext;
  spec: TemplateSpec;
  directory: string;
  key: string;
  tscKhz: number;
  signal: AbortSignal;
}

const verifyDirectory = "verify";

export async function bootTemplate(request: TemplateRequest): Promise<Template> {
  const { spec, directory, key, signal } = request;
  const what = `Booting a template of ${spec.shape.vcpus} processors and ${spec.shape.memoryMib} MiB`;
  try {
    await within({ ms: vmLimits.bootMs, code: "boot_timeout", what, signal }, (bound) => bootAndSave({ ...request, signal: bound }));
    const template = await sealTemplate(directory, key, spec);
    await verifyTemplate(request, template);
    return template;
  } catch (error) {
    await rm(join(directory, templateFiles.description), { force: true });
    throw asVmError(error, "boot_failed", what);
  }
}

async function bootAndSave(request: TemplateRequest): Promise<void> {
  const { context, spec, directory, signal } = request;
  const { isolation } = context.host;
  const undo = new Undo();
  const files = new DescriptorTable();
  try {
    const user = isolation.acquireUser();
    if (user) undo.add(() => isolation.releaseUser(user));
    await makeMemory(join(directory, templateFiles.memory), { bytes: spec.shape.memoryMib * 1024 * 1024, user });
    await writeKernelHead(spec.kernel, join(directory, templateFiles.kernel));
    const monitor = await launchMonitor(context.host, {
      id: `template-${request.key.slice(0, 12)}-${randomBytes(3).toString("hex")}`,
      directory,
      shape: spec.shape,
      milliCpu: (spec.shape.vcpus + 1) * 1000,
      user,
      files,
      args: await describeBoot(request, files),
      privateMemory: undefined,
      undo,
      signal,
    });
    await untilReady(monitor, signal);
    await prepareMigration(monitor.qmp);
    await monitor.qmp.execute("stop");
    await saveDeviceState(monitor.qmp, monitor.directory, join(directory, templateFiles.device), signal);
  } finally {
    // The memory file is complete once the monitor is gone.
    await undo.run();
    await files.close();
  }
}

async function makeMemory(path: string, { bytes, user }: { bytes: number; user: MonitorUser | null }): Promise<void> {
  const file = await open(path, "w", 0o600);
  await file.truncate(bytes);
  await file.close();
  if (user) await chown(path, user.uid, user.gid);
}

async function describeBoot({ context, spec, directory, tscKhz }: TemplateRequest, files: DescriptorTable): Promise<string[]> {
  const memory = await files.add(join(directory, templateFiles.memory), "write");
  const kernel = await files.add(spec.kernel, "read");
  const initramfs = await files.add(spec.initramfs, "read");
  return monitorArguments({
    accelerator: context.accelerator,
    shape: spec.shape,
    memory: { descriptor: memory, share: true },
    kernel: { descriptor: kernel, initramfs, commandLine: kernelCommandLine(context.accelerator, tscKhz) },
    substrate: await files.add(spec.substrate, "read"),
    image: await files.add(spec.image, "read"),
    clone: false,
  });
}

/** Supervisor and relay have both announced themselves; from then on neither says anything before it is spoken to. */
async function untilReady({ qmp, control, network, process }: Monitor, signal: AbortSignal): Promise<void> {
  const ready = Promise.all([
    untilMessage(skipUntil(control, { marker: channelPreamble, keepMarker: false }), ["hello"], signal),
    firstBytes(skipUntil(network, { marker: networkSyncFrame, keepMarker: true })),
  ]);
  const ended = new Promise<never>((_, reject) => {
    qmp.onEvent(({ event, data }) => {
      if (event === "SHUTDOWN" && data["guest"] === true)
        reject(new VmError("boot_failed", `The guest ended while it booted (${String(data["reason"])})`));
    });
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    void process.exited.then(() => reject(new VmError("monitor_died", "The monitor ended while its guest booted")));
  });
  ready.catch(() => {});
  ended.catch(() => {});
  try {
    await Promise.race([ready, ended]);
  } catch (error) {
    const console = await readConsole(qmp);
    const failure = asVmError(error, "boot_failed", "The guest did not boot");
    throw new VmError(failure.code, `${failure.message}${console === "" ? "" : `. Its console: ${shortenConsole(console)}`}`, {
      cause: error,
    });
  }
}

/** What our init says comes before the kernel's trace of its death. */
export function shortenConsole(console: string): string {
  const lines = console.split("\n").map((line) => line.trim());
  const own = lines.filter((line) => line.startsWith("helmr-guest"));
  return (own.length > 0 ? own : lines.slice(-12)).slice(-12).join(" | ");
}

function firstBytes(stream: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.on("error", reject);
    stream.on("data", () => resolve());
  });
}

/** A clone must answer: what cannot be restored is found here and not by somebody's run. */
async function verifyTemplate({ context, directory, signal }: TemplateRequest, template: Template): Promise<void> {
  const id = `verify-${template.key.slice(0, 12)}-${randomBytes(3).toString("hex")}`;
  const milliCpu = (template.spec.shape.vcpus + 1) * 1000;
  const what = "The first answer of a restored template";
  await within({ ms: vmLimits.verifyMs, code: "restore_failed", what, signal }, async (bound) => {
    const place = join(directory, verifyDirectory);
    const clone = await makeClone(context, {
      id,
      directory: place,
      template,
      source: templateSource(template),
      snapshotable: false,
      milliCpu,
      signal: bound,
    });
    try {
      await clone.monitor.qmp.execute("cont");
      await askSupervisor(clone.monitor.control, { type: "ping", id: 0 }, bound);
    } finally {
      await clone.undo.run();
    }
  });
}
