/** The worker's credential: enrolled for once with the secret of its group, kept in a file that only its owner can read. */
import { open, readFile, rename } from "node:fs/promises";
import type { WorkerFacts } from "@helmr/protocol/worker";
import * as z from "zod";
import { WorkerClient } from "./client.ts";

const credentialFile = z.object({ worker_id: z.uuid(), worker_group: z.string(), credential: z.string().min(1) });
export type Credential = z.output<typeof credentialFile>;

export class EnrollmentFailed extends Error {
  override name = "EnrollmentFailed";
  readonly code = "enrollment_failed";
}

export interface Enrollment {
  url: string;
  path: string;
  /** Undefined: only an existing credential will do. */
  secret: string | undefined;
  name: string;
  facts: WorkerFacts;
  timeoutMs: number;
}

export async function obtainCredential(enrollment: Enrollment): Promise<Credential> {
  const kept = await readCredential(enrollment.path);
  if (kept !== undefined) return kept;
  if (enrollment.secret === undefined)
    throw new EnrollmentFailed(
      `There is no credential in ${enrollment.path} and no enrollment secret. Set HELMR_ENROLLMENT_SECRET to the secret of a worker group.`,
    );
  const client = new WorkerClient({ url: enrollment.url, credential: enrollment.secret });
  const until = performance.now() + enrollment.timeoutMs;
  const result = await client.call("enroll", { name: enrollment.name, facts: enrollment.facts }, { deadline: () => until });
  client.close();
  if (result.kind !== "ok")
    throw new EnrollmentFailed(`The control plane at ${enrollment.url} did not enroll this worker: ${JSON.stringify(result)}`);
  await writeCredential(enrollment.path, result.value);
  return result.value;
}

async function readCredential(path: string): Promise<Credential | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const parsed = credentialFile.safeParse(JSON.parse(text));
  if (!parsed.success) throw new EnrollmentFailed(`${path} is no credential file. Remove it to enroll again.`);
  return parsed.data;
}

async function writeCredential(path: string, credential: Credential): Promise<void> {
  const partial = `${path}.partial`;
  const file = await open(partial, "w", 0o600);
  try {
    await file.writeFile(JSON.stringify(credential));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
}
