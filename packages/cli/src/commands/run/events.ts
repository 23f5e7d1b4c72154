import type { RunEvent } from "@helmr/protocol/api";
import { argument, cursor, environmentCommand, limit, toggle } from "../../command.ts";
import { followRunEvents } from "../../follow/run-end.ts";

export const runEvents = environmentCommand({
  name: "run events",
  summary: "print the events of a run, one JSON object per line",
  examples: [
    { says: "the whole history", command: "helmr run events 01980a00-0000-7000-8000-000000000004" },
    { says: "what happens, until the run has ended", command: "helmr run events 01980a00-0000-7000-8000-000000000004 --follow" },
  ],
  args: { run: argument("RUN", "id of the run") },
  flags: {
    cursor: cursor("only events behind this id"),
    limit: limit("at most so many events; all of them without it"),
    follow: toggle("go on until the run has ended"),
  },
  async run(context) {
    const { flags, out } = context;
    const runId = context.args.run;
    const api = await context.environment();
    if (flags.follow) {
      const from = { cursor: String(flags.cursor ?? 0), limit: flags.limit };
      for await (const event of followRunEvents({ api, runId, signal: context.signal }, from)) await out.json(event);
      return;
    }
    let at = flags.cursor;
    for (;;) {
      const page = await api.call("runs.events", { params: { id: runId }, query: { cursor: at, limit: flags.limit } });
      await out.lines(page.events.map((event: RunEvent) => JSON.stringify(event)));
      if (flags.limit !== undefined || page.next_cursor === undefined || page.next_cursor === at) return;
      at = page.next_cursor;
    }
  },
});
