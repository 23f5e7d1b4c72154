/**
 * What an earlier process of this worker left: machines that still run, directories of leases, staged files. Machines whose run goes on here are
 * taken over; everything else is ended and removed before anything new begins.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type LeaseDirectory, readJournals, type RunJournal } from "./run/run-journal.ts";
import type { VmDriver } from "./vm/driver.ts";

export interface Adoptable extends LeaseDirectory {
  journal: RunJournal;
}

/** Leases that this host could go on with. A machine that is gone counts too: its output and its disk are still here. */
export async function findAdoptable(leasesDirectory: string): Promise<Adoptable[]> {
  const found = await readJournals(leasesDirectory);
  return found.filter((one): one is Adoptable => one.journal !== undefined);
}

/** Ends machines and removes directories of all leases but those. */
export async function removeLeftovers(
  driver: VmDriver,
  leasesDirectory: string,
  keep: ReadonlySet<string>,
): Promise<{ machines: number; directories: number }> {
  const kept = [...keep].map((leaseId) => join(leasesDirectory, leaseId));
  const leftovers = (await driver.findLeftovers(leasesDirectory)).filter(
    ({ directory }) => !kept.some((path) => directory === path || directory.startsWith(`${path}/`)),
  );
  for (const leftover of leftovers) await driver.endLeftover(leftover);
  const names = (await readdir(leasesDirectory).catch(() => [])).filter((name) => !keep.has(name));
  for (const name of names) await rm(join(leasesDirectory, name), { recursive: true, force: true });
  return { machines: leftovers.length, directories: names.length };
}
