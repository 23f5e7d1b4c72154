import type { Run } from "@helmr/protocol/api";
import { environmentCommand, jsonFlag, text, toggle } from "../../command.ts";
import { Failure } from "../../failure.ts";
import { alignedTable } from "../../text/table.ts";

const shortIdLength = 12;

export const runList = environmentCommand({
  name: "run list",
  summary: "list runs of every status, newest first",
  examples: [
    { says: "all runs, and what they wait for", command: "helmr run list" },
    { says: "the runs of one session, for a script", command: "helmr run list --session 01980a00-0000-7000-8000-000000000003 --jsonl" },
  ],
  scopeText: "layer",
  args: {},
  flags: { ...jsonFlag, jsonl: toggle("print one run per line, as JSON"), session: text("ID", "only the runs of this session") },
  async run(context) {
    const { flags, out } = context;
    if (flags.json && flags.jsonl) throw new Failure("--json and --jsonl cannot be used together");
    const api = await context.environment();
    const { runs } = await api.call("runs.list", { query: { status: "all", session_id: flags.session } });
    if (flags.json) return out.json({ runs });
    if (flags.jsonl) return out.lines(runs.map((run) => JSON.stringify(run)));
    return out.lines(alignedTable([["RUN ID", "TASK", "STATUS", "WAIT"], ...runs.map(row)]));
  },
});

function row(run: Run): string[] {
  const wait = run.pending_wait;
  return [short(run.id), run.task_id, run.status, wait === undefined ? "" : `${wait.kind ?? ""}:${short(wait.id)}`];
}

function short(id: string): string {
  return id.slice(0, shortIdLength);
}
