/**
 * The rate of the host's time stamp counter, which an emulated guest counts. Measured by a small tool once per boot of the host; where the
 * kernel's own figure agrees it is taken, because it does not vary from measurement to measurement and templates depend on it.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const toolMs = 5_000;
/** Two in a thousand: a wrong figure is wrong by far more. */
const agreement = 0.002;

export interface TscRate {
  khz: number;
  source: string;
}

export async function measureTscRate(tool: string): Promise<TscRate> {
  const shown = kernelFigure(await readFile("/proc/cpuinfo", "utf8"));
  const { stdout } = await run(tool, [], { timeout: toolMs });
  return chooseRate(shown, Number(stdout.trim()));
}

export function chooseRate(shown: number, measured: number): TscRate {
  if (!Number.isFinite(measured) || measured <= 0) return { khz: shown, source: "/proc/cpuinfo" };
  if (Math.abs(measured - shown) / measured <= agreement) return { khz: shown, source: "/proc/cpuinfo, confirmed by measurement" };
  return { khz: Math.round(measured), source: "measured" };
}

/** kHz of the first processor as the kernel shows it. */
export function kernelFigure(cpuinfo: string): number {
  return Math.round(Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(cpuinfo)?.[1] ?? 0) * 1000);
}

/** `GenuineIntel-6-85`: what decides whether a machine that saw the host's processor may go on here. */
export function processorFamily(cpuinfo: string): string {
  const field = (name: string): string => new RegExp(`^${name}\\s*:\\s*(\\S+)`, "m").exec(cpuinfo)?.[1] ?? "unknown";
  return [field("vendor_id"), field("cpu family"), field("model")].join("-");
}
