/** The exit code of a remote command becomes ours (cli §1). */
import type { Exec } from "@helmr/protocol/api";
import { Failure } from "../../../failure.ts";

/** Fails unless the command ended with 0. */
export function exitAs(exec: Exec): void {
  if (exec.exit_code === undefined || exec.exit_code === null)
    throw new Failure(`workspace exec ended without an exit code: ${exec.state}`);
  if (exec.exit_code !== 0)
    throw new Failure(`remote command exited with status ${exec.exit_code}`, { exitCode: localCode(exec.exit_code) });
}

/** A process can end with 1 to 255 only. */
function localCode(remote: number): number {
  return remote & 0xff || 1;
}
