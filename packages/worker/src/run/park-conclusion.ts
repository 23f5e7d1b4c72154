/**
 * After a park was accepted: the machine ends, which gives its slot and its memory back, and what this host has of the cut becomes its local copy, so that a
 * resume here fetches nothing. Nothing is said to the control plane any more, and nothing here can fail the run.
 */
import { tenantKeys } from "../chunks/sealing.ts";
import { errorText } from "../telemetry.ts";
import type { ParkedCut } from "./park-run.ts";
import type { RunParts, RunState } from "./run-state.ts";

export async function concludePark(parts: RunParts, { before, cut }: { before: RunState; cut: ParkedCut }): Promise<string> {
  const { host, lease, cleanup, reporter } = parts;
  reporter.stop();
  if (!("guest" in before) || before.guest === undefined) return "parked";
  const { guest, disks } = before;
  const attempt = async (what: string, work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      host.telemetry("background.failed", { what, message: errorText(error) });
    }
  };
  await attempt("stopping a machine", () => guest.machine.stop());
  const { orgId } = tenantKeys(lease.storage);
  await cleanup.add("workspace disk", () => disks.workspace.release());
  await attempt("local copy of a checkpoint", () => host.checkpoints.keep(cut.checkpointId, cut.files));
  for (const [disk, stored] of [
    [disks.workspace, cut.workspace],
    [disks.scratch, cut.scratch],
  ] as const)
    await attempt("local base of a parked disk", async () => {
      const advancing = disk.advance(host.bases, orgId, stored);
      await host.artifacts.learn(orgId, stored.manifest);
      await advancing;
    });
  return "parked";
}
