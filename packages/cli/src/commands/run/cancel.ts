import { argument, environmentCommand, jsonFlag, text, toggle } from "../../command.ts";
import { trimmedKey } from "../session/start-input.ts";
import { runLines } from "./lines.ts";

export const runCancel = environmentCommand({
  name: "run cancel",
  summary: "cancel a run",
  details: "The task is told first and then stopped; --force stops it at once. A run that has ended stays as it is.",
  examples: [
    { says: "let the task end by itself", command: "helmr run cancel 01980a00-0000-7000-8000-000000000004 --reason 'no longer needed'" },
    { says: "at once", command: "helmr run cancel 01980a00-0000-7000-8000-000000000004 --force" },
  ],
  args: { run: argument("RUN", "id of the run") },
  flags: {
    ...jsonFlag,
    reason: text("TEXT", "why, for the record"),
    force: toggle("stop the task without notice"),
    idempotencyKey: text("KEY", "a repeated cancel with this key gives the same operation"),
  },
  async run(context) {
    const { flags, out } = context;
    const api = await context.environment();
    const cancelled = await api.call("runs.cancel", {
      params: { id: context.args.run },
      body: { reason: flags.reason, force: flags.force ? true : undefined, idempotency_key: trimmedKey(flags.idempotencyKey) },
    });
    if (flags.json) return out.json(cancelled);
    const { run, operation } = cancelled;
    return out.lines([...runLines(run), `operation_id: ${operation.id}`, `operation_status: ${operation.status}`]);
  },
});
