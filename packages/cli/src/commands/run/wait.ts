import { withDeadline } from "../../clock.ts";
import { argument, environmentCommand, jsonFlag, toggle } from "../../command.ts";
import { SilentExit } from "../../failure.ts";
import { waitForRunEnd } from "../../follow/run-end.ts";
import { whileShowing } from "../../terminal/live-line.ts";
import { duration } from "../../text/duration.ts";
import { runLines } from "./lines.ts";

export const runWait = environmentCommand({
  name: "run wait",
  summary: "wait for the end of a run",
  details: "The outcome of the run does not change the exit code, unless --exit-status is given.",
  examples: [
    { says: "at most an hour", command: "helmr run wait 01980a00-0000-7000-8000-000000000004 --timeout 1h" },
    { says: "fail a script when the run failed", command: "helmr run wait 01980a00-0000-7000-8000-000000000004 --exit-status" },
  ],
  args: { run: argument("RUN", "id of the run") },
  flags: { ...jsonFlag, timeout: duration("give up after this time"), exitStatus: toggle("exit with 2 when the run did not succeed") },
  async run(context) {
    const { flags, out } = context;
    const runId = context.args.run;
    const api = await context.environment();
    const limit = { ms: flags.timeout, signal: context.signal, prefix: `wait for run ${runId}: ` };
    const run = await whileShowing(context, `Waiting for run ${runId}`, () =>
      withDeadline(limit, (signal) => waitForRunEnd({ api, runId, signal })),
    );
    await (flags.json ? out.json(run) : out.lines(runLines(run)));
    if (flags.exitStatus && run.status !== "succeeded") throw new SilentExit(2);
  },
});
