/**
 * What another process of this worker needs to go on with a run whose machine runs: written beside the machine's files before its program is
 * started. No key and no secret is in it; those come again with the lease.
 */
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { artifactRef } from "@helmr/protocol/worker";
import * as z from "zod";
import type { MachineHandle } from "../vm/driver.ts";

const journal = z.object({
  leaseId: z.uuid(),
  fence: z.number().int(),
  machine: z.custom<MachineHandle>((value) => typeof value === "object" && value !== null && "pid" in value),
  /** `base`: what the disk is over; the lease names a later version once one was made of the live machine. */
  workspace: z.object({ sizeBytes: z.number(), base: artifactRef.nullable() }),
  /** The machine was restored from this checkpoint, and its guest may not have moved yet. */
  resuming: z.uuid().optional(),
  /** Of a run that was resumed: what its scratch disk is over. */
  scratch: artifactRef.optional(),
  /** And where its streams went on. */
  streams: z.tuple([z.number(), z.number(), z.number()]).optional(),
});
export type RunJournal = z.output<typeof journal>;

const fileName = "journal.json";

export async function writeJournal(directory: string, entry: RunJournal): Promise<void> {
  const partial = join(directory, `${fileName}.partial`);
  await writeFile(partial, JSON.stringify(entry), { mode: 0o600 });
  await rename(partial, join(directory, fileName));
}

export interface LeaseDirectory {
  directory: string;
  /** Undefined: a machine that never ran its program, or a build. */
  journal: RunJournal | undefined;
}

export async function readJournals(leasesDirectory: string): Promise<LeaseDirectory[]> {
  const names = await readdir(leasesDirectory).catch(() => []);
  return Promise.all(
    names.map(async (name) => {
      const directory = join(leasesDirectory, name);
      try {
        return { directory, journal: journal.parse(JSON.parse(await readFile(join(directory, fileName), "utf8"))) };
      } catch {
        return { directory, journal: undefined };
      }
    }),
  );
}
