/** What an error on the way to a running guest means for the attempt. */
import { BlobError } from "../chunks/blob-port.ts";
import { ChunkError } from "../chunks/sealing.ts";
import { GuestRefused, GuestSilent } from "../guest/guest-link.ts";
import { CommandFailed } from "../host/run-command.ts";
import { MountGone } from "../mount/mount-seat.ts";
import { type MachineExit, VmError } from "../vm/driver.ts";
import type { HostVerdict } from "./run-end.ts";

/** `stale`: the lease is not held any more, which is not for this lease's attempt to report. */
export function verdictOf(error: unknown): HostVerdict | "stale" {
  if (error instanceof BlobError && error.code === "lease_stale") return "stale";
  if (error instanceof GuestSilent) return { kind: error.code === "guest_silent" ? "guest_silent" : "guest_died", message: error.message };
  const failed = (code: string, message: string): HostVerdict => ({ kind: "machine_failed", code, message });
  if (error instanceof GuestRefused) return failed(error.code, `The guest could not be prepared: ${error.message}`);
  if (error instanceof MountGone) return failed(error.code, `The mount whose machine the run was to use has ended: ${error.message}`);
  if (error instanceof VmError) return failed(error.code, `The machine could not be started: ${error.message}`);
  if (error instanceof BlobError || error instanceof ChunkError)
    return failed(error.code, `A disk of the run could not be made: ${error.message}`);
  if (error instanceof CommandFailed) return failed(error.code, error.message);
  const { name, code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") return failed("worker_disk_full", "The worker has no room left on its disk");
  if (name === "TimeoutError") return failed("prepare_timeout", "The machine of the run was not ready in time");
  return failed("internal", `The worker failed: ${message}`);
}

/** What a machine's end means for the run in it. */
export function exitVerdict(exit: MachineExit): HostVerdict {
  switch (exit.reason) {
    case "stopped":
      return { kind: "guest_died", message: "its machine was stopped" };
    case "guest_shutdown":
      return { kind: "guest_died", message: "it shut down" };
    case "guest_panic":
      return { kind: "guest_died", message: `its kernel panicked${panicReason(exit.console)}` };
    case "monitor_died": {
      const how = exit.signal === null ? `exit code ${exit.exitCode}` : `signal ${exit.signal}`;
      return { kind: "monitor_died", message: `${how}${exit.stderr === "" ? "" : `: ${exit.stderr.slice(0, 2000)}`}` };
    }
    default:
      return { kind: "guest_died", message: "it ended" };
  }
}

/** The line that says why; the registers and stacks after it help nobody who reads a timeline. */
function panicReason(console: string): string {
  const line = /Kernel panic - not syncing: ([^\r\n]*)/.exec(console)?.[1];
  if (line !== undefined) return `: ${line}`;
  return console === "" ? "" : `: ${console.slice(-2000)}`;
}
