import { argument, environmentCommand, jsonFlag } from "../../command.ts";
import { blockedText } from "../../text/blocked.ts";
import { instant } from "../../text/instant.ts";

export const runGet = environmentCommand({
  name: "run get",
  summary: "show a run, and why it does not run when it does not",
  examples: [
    { says: "its status", command: "helmr run get 01980a00-0000-7000-8000-000000000004" },
    { says: "its output", command: "helmr run get 01980a00-0000-7000-8000-000000000004 --json" },
  ],
  args: { run: argument("RUN", "id of the run") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const run = await api.call("runs.get", { params: { id: context.args.run } });
    if (context.flags.json) return context.out.json(run);
    const wait = run.pending_wait;
    return context.out.lines([
      `ID:       ${run.id}`,
      `Task:     ${run.task_id}`,
      `Status:   ${run.status}`,
      ...(typeof run.exit_code === "number" ? [`Exit:     ${run.exit_code}`] : []),
      `Created:  ${instant(run.created_at)}`,
      `Updated:  ${instant(run.updated_at)}`,
      ...(wait === undefined ? [] : [`Wait:     ${wait.kind ?? ""}:${wait.id}`]),
      ...(run.blocked === undefined ? [] : [`Blocked:  ${blockedText(run.blocked)}`]),
    ]);
  },
});
