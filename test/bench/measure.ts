/** What a benchmark hands back: named series with units, and the machine they were taken on. */
import { cpus, totalmem } from "node:os";

export interface Series {
  name: string;
  unit: string;
  samples: number[];
  /** In words, from goals.md. */
  target?: string;
  /** Whether the target was met; absent when there is none. */
  met?: boolean;
}

export interface Benchmark {
  /** One sentence. */
  measures: string;
  run(args: readonly string[]): Promise<Series[]>;
}

export interface Summary {
  name: string;
  unit: string;
  count: number;
  min: number;
  p50: number;
  p95: number;
  max: number;
  target?: string;
  met?: boolean;
}

export function summarize({ name, unit, samples, target, met }: Series): Summary {
  const sorted = [...samples].sort((left, right) => left - right);
  const at = (quantile: number) => sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))] ?? 0;
  const round = (value: number) => Math.round(value * 100) / 100;
  return {
    name,
    unit,
    count: sorted.length,
    min: round(at(0)),
    p50: round(at(0.5)),
    p95: round(at(0.95)),
    max: round(sorted.at(-1) ?? 0),
    ...(target === undefined ? {} : { target }),
    ...(met === undefined ? {} : { met }),
  };
}

export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

export interface Machine {
  cores: number;
  cpu: string;
  memory_gib: number;
  node: string;
}

export function machine(): Machine {
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? "unknown",
    memory_gib: Math.round(totalmem() / 1024 ** 3),
    node: process.version,
  };
}
