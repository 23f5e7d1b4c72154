/** Looks every so often whether the host still has memory; where it has less than its reserve, somebody is told, each time. */
import { readFile } from "node:fs/promises";

const lookMs = 5_000;

export interface MemoryWatch {
  look(): Promise<void>;
  stop(): void;
}

export function watchMemory(reserveMib: number, onShort: () => void, readAvailable: () => Promise<number> = availableMib): MemoryWatch {
  const look = async () => {
    if (reserveMib > 0 && (await readAvailable()) < reserveMib) onShort();
  };
  const timer = setInterval(() => void look(), lookMs).unref();
  return { look, stop: () => clearInterval(timer) };
}

/** Infinity where the host does not say. */
async function availableMib(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const kib = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? Number.POSITIVE_INFINITY);
  return kib / 1024;
}
