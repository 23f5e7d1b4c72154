/**
 * KVM is proven, not assumed: /dev/kvm may exist and be useless (design/vm.md B1).
 *
 *   A  firmware that a broken KVM does not get through: see probe-rom.ts
 *   B  the guest's own kernel, whose init ends the machine at once: what counts in the end
 *
 * Both have two seconds. A result holds for a boot of the host, a QEMU version and a kernel.
 */
import { spawn } from "node:child_process";
import { access, constants, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Accelerator } from "../driver.ts";
import { kernelCommandLine } from "./command-line.ts";
import { probeExitCode, probeExitPort, probeRom } from "./probe-rom.ts";

export interface ProbeRequest {
  binary: string;
  version: string;
  stateDirectory: string;
  kernel: string;
  initramfs: string;
  kernelDigest: string;
}

export interface Choice {
  accelerator: Accelerator;
  explanation: string;
}

interface Remembered extends Choice {
  subject: string;
}

export type ProbeOutcome = { kind: "works"; milliseconds: number } | { kind: "fails"; how: string };

export const probeLimitMs = 2_000;
const kvmDevice = "/dev/kvm";

export async function chooseAccelerator(request: ProbeRequest): Promise<Choice> {
  const problem = await deviceProblem();
  if (problem !== undefined) return { accelerator: "tcg", explanation: `software emulation, because ${problem}` };
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const subject = [bootId, request.version, request.kernelDigest].join(" ");
  const store = join(request.stateDirectory, "probes.json");
  const known = await recall(store);
  if (known?.subject === subject) return { accelerator: known.accelerator, explanation: known.explanation };
  const choice = await probe(request);
  const temporary = `${store}.${process.pid}.tmp`;
  await writeFile(temporary, JSON.stringify({ subject, ...choice } satisfies Remembered));
  await rename(temporary, store);
  return choice;
}

async function deviceProblem(): Promise<string | undefined> {
  try {
    await access(kvmDevice, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT"
      ? `this machine has no ${kvmDevice}`
      : `${kvmDevice} may not be opened by this user`;
  }
}

async function recall(store: string): Promise<Remembered | undefined> {
  try {
    return JSON.parse(await readFile(store, "utf8")) as Remembered;
  } catch {
    // Never probed, or half a file after a crash.
    return undefined;
  }
}

async function probe(request: ProbeRequest): Promise<Choice> {
  const firmware = await probeFirmware(request.binary, "kvm");
  if (firmware.kind === "fails")
    return { accelerator: "tcg", explanation: `software emulation, because KVM is not usable here: the firmware probe ${firmware.how}` };
  const kernel = await probeKernel(request, "kvm");
  if (kernel.kind === "fails")
    return { accelerator: "tcg", explanation: `software emulation, because KVM is not usable here: the kernel probe ${kernel.how}` };
  return { accelerator: "kvm", explanation: `KVM, proven by two probes (${firmware.milliseconds} ms and ${kernel.milliseconds} ms)` };
}

/** Probe A. With `tcg` it always works, which is how its correctness is tested. */
export async function probeFirmware(binary: string, accelerator: "kvm" | "tcg"): Promise<ProbeOutcome> {
  const directory = await mkdtemp(join(tmpdir(), "helmr-probe-"));
  try {
    const rom = join(directory, "probe.rom");
    await writeFile(rom, probeRom());
    const args = ["-M", "microvm", ...processor(accelerator), "-m", "64M", "-bios", rom];
    return await runProbe(binary, args);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Probe B. */
export function probeKernel(
  request: Pick<ProbeRequest, "binary" | "kernel" | "initramfs">,
  accelerator: "kvm" | "tcg",
  limitMs: number = probeLimitMs,
): Promise<ProbeOutcome> {
  const { binary, kernel, initramfs } = request;
  // Under emulation the rate of the counter does not matter: the machine lives for a second.
  const commandLine = `${kernelCommandLine(accelerator, 2_000_000)} helmr.probe`;
  const machine = "microvm,acpi=on,pit=off,pic=off,rtc=on,isa-serial=off,auto-kernel-cmdline=off";
  return runProbe(
    binary,
    ["-M", machine, ...processor(accelerator), "-m", "256M", "-kernel", kernel, "-initrd", initramfs, "-append", commandLine],
    limitMs,
  );
}

function processor(accelerator: "kvm" | "tcg"): string[] {
  return accelerator === "kvm" ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg", "-cpu", "max"];
}

function runProbe(binary: string, args: readonly string[], limitMs: number = probeLimitMs): Promise<ProbeOutcome> {
  const common = [
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-no-reboot",
    "-device",
    `isa-debug-exit,iobase=${probeExitPort},iosize=1`,
  ];
  const started = performance.now();
  const child = spawn(binary, [...args, ...common], { stdio: ["ignore", "ignore", "pipe"], timeout: limitMs, killSignal: "SIGKILL" });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-300);
  });
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ kind: "fails", how: `could not be started: ${error.message}` }));
    child.once("close", (code, signal) => {
      const milliseconds = Math.round(performance.now() - started);
      if (code === probeExitCode) resolve({ kind: "works", milliseconds });
      else if (signal === "SIGKILL") resolve({ kind: "fails", how: `did not end within ${limitMs} ms` });
      else resolve({ kind: "fails", how: `ended with ${signal ?? `code ${code}`}: ${said.trim()}` });
    });
  });
}
