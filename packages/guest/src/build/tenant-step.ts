/** One command of a build in the tenant's part of the guest, with a deadline. Its output goes to the build log. */
import type { OutgoingStream } from "../supervisor/outgoing-stream.ts";
import type { BuildGround } from "../supervisor/supervisor.ts";
import { type ProcessExit, TenantProcess } from "../supervisor/tenant-process.ts";
import { Deadline } from "../supervisor/deadline.ts";
import type { TailOutput } from "./tail-output.ts";

export interface StepOptions {
  command: readonly string[];
  cwd: string;
  environment: Record<string, string>;
  network: boolean;
  pipes: boolean;
  output: TailOutput;
  limitMs: number;
}

export interface Step {
  process: TenantProcess;
  deadline: Deadline;
  /** Resolves once nothing of it is left. */
  ended: Promise<{ exit: ProcessExit; timedOut: boolean; outOfMemory: boolean }>;
}

let steps = 0;

export function startStep(ground: Pick<BuildGround, "tool" | "groups" | "attachment">, options: StepOptions): Step {
  steps += 1;
  // A process only ever writes to its stream and asks for room.
  const stream = options.output as unknown as OutgoingStream;
  const process = new TenantProcess(ground, {
    group: `build-${steps}`,
    user: ground.attachment.user,
    cwd: options.cwd,
    environment: ground.attachment.environment(options.environment),
    command: options.command,
    network: options.network,
    stdin: false,
    pipes: options.pipes,
    stdout: stream,
    stderr: stream,
  });
  let timedOut = false;
  const deadline = new Deadline(() => {
    timedOut = true;
    process.kill();
  });
  deadline.extend(options.limitMs);
  const ended = (async () => {
    const exit = await process.exited;
    deadline.clear();
    const { memory } = await process.gone;
    return { exit, timedOut, outOfMemory: !timedOut && memory.oomKills > 0 };
  })();
  return { process, deadline, ended };
}
