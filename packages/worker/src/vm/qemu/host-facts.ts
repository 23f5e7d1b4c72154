/**
 * What the driver finds out about its host once per process, in the order: version, accelerator (probes), processor, isolation. Everything a
 * person may ask about is put into words for `helmr doctor`.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { type DriverFacts, VmError } from "../driver.ts";
import { findCgroups, type HostCgroups } from "./host-cgroups.ts";
import { findIsolation, type Isolation } from "./host-isolation.ts";
import type { Choice } from "./probes.ts";
import { measureTscRate, processorFamily } from "./tsc-rate.ts";

const run = promisify(execFile);
const versionMs = 10_000;

/** Programs of ours on the host: see host-tools/. The preparation compiles them. */
export interface MonitorTools {
  privateMemory: string;
  tscRate: string;
  passDescriptors: string;
}

export interface HostFacts extends DriverFacts {
  isolation: Isolation;
  cgroups: HostCgroups;
  tscKhz: number;
}

export interface HostQuestion {
  binary: string;
  tools: MonitorTools;
  cgroupName: string;
  chooseAccelerator: (version: string) => Promise<Choice>;
}

export async function findHostFacts({ binary, tools, cgroupName, chooseAccelerator }: HostQuestion): Promise<HostFacts> {
  const version = await monitorVersion(binary);
  const [proven, rate, isolation, cgroups, cpuinfo] = await Promise.all([
    chooseAccelerator(version),
    measureTscRate(tools.tscRate),
    findIsolation(),
    findCgroups(cgroupName),
    readFile("/proc/cpuinfo", "utf8"),
  ]);
  const { accelerator, explanation } = await whatMonitorsMayUse(proven, isolation);
  const clock = accelerator === "tcg" ? `; time stamp counter ${rate.khz} kHz (${rate.source})` : "";
  return {
    driver: "qemu",
    version,
    accelerator,
    explanation: `${explanation}${clock}; ${isolation.explanation}; ${cgroups.explanation}`,
    // An emulated processor is the same everywhere, but its clock is the host's counter.
    cpuFamily: accelerator === "tcg" ? `emulated-x86_64-${Math.round(rate.khz / 1000)}MHz` : processorFamily(cpuinfo),
    isolation,
    cgroups,
    tscKhz: rate.khz,
  };
}

/** The probes run as the worker; its monitors do not. */
async function whatMonitorsMayUse(proven: Choice, isolation: Isolation): Promise<Choice> {
  if (proven.accelerator !== "kvm") return proven;
  const problem = await isolation.problemWith("/dev/kvm");
  return problem === undefined ? proven : { accelerator: "tcg", explanation: `software emulation, because KVM works but ${problem}` };
}

async function monitorVersion(binary: string): Promise<string> {
  const { stdout } = await run(binary, ["--version"], { timeout: versionMs }).catch((cause: Error) => {
    throw new VmError("monitor_died", `Cannot run ${binary}: ${cause.message}. Install the Debian package qemu-system-x86.`, { cause });
  });
  const version = /version (\S+)(?: \((.+)\))?/.exec(stdout);
  return version ? [version[1], version[2]].filter((part) => part !== undefined).join(" ") : stdout.trim().slice(0, 100);
}
