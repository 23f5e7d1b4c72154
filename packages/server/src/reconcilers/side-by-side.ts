/** `eachRow` with several rows at a time: for work that waits for the database more than it computes. */
import { eachRow, type Pass, sum } from "./loop.ts";

export async function eachRowBeside<T>(rows: readonly T[], width: number, act: (row: T) => Promise<boolean | number>): Promise<Pass> {
  const lanes = Array.from({ length: Math.min(width, rows.length) }, (_, lane) => rows.filter((_row, index) => index % width === lane));
  const { scanned, changed, skipped } = sum(await settled(lanes.map((lane) => eachRow(lane, act))));
  return { scanned, changed, skipped };
}

/** Every lane comes to its end before one of them is reported as failed. */
async function settled<T>(lanes: Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(lanes);
  return Promise.all(lanes);
}
