import { environmentCommand, jsonFlag, text } from "../../command.ts";
import { tabbed } from "../../text/table.ts";

export const sessionList = environmentCommand({
  name: "session list",
  summary: "list sessions, last changed first",
  examples: [
    { says: "id, task, status, activity and current run", command: "helmr session list" },
    { says: "the session of an order", command: "helmr session list --external-id order-4711 --json" },
  ],
  args: {},
  flags: { ...jsonFlag, externalId: text("ID", "only the session with this id of your own") },
  async run(context) {
    const api = await context.environment();
    const { sessions } = await api.call("sessions.list", { query: { external_id: context.flags.externalId } });
    if (context.flags.json) return context.out.json({ sessions });
    return context.out.lines(
      sessions.map((session) => tabbed(session.id, session.task_id, session.status, session.activity, session.current_run_id)),
    );
  },
});
