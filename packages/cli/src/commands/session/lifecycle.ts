/** `session close` and `session cancel`: the same request, the same lines. */
import type { Session } from "@helmr/protocol/api";
import { argument, environmentCommand, jsonFlag, text } from "../../command.ts";

function lifecycleLines(operation: string, session: Session): string[] {
  return [
    `operation: ${operation}`,
    `session_id: ${session.id}`,
    `session_status: ${session.status}`,
    `session_activity: ${session.activity}`,
    ...(session.current_run_id === undefined ? [] : [`run_id: ${session.current_run_id}`]),
  ];
}

const args = { session: argument("SESSION", "id of the session") };
const flags = { ...jsonFlag, reason: text("TEXT", "why, for the record") };
const exampleSession = "01980a00-0000-7000-8000-000000000003";

export const sessionClose = environmentCommand({
  name: "session close",
  summary: "close a session whose work is done",
  details: "A session with a live run or unread input cannot be closed: cancel it, or wait. Closing a closed session succeeds.",
  examples: [{ says: "close it and say why", command: `helmr session close ${exampleSession} --reason 'order shipped'` }],
  args,
  flags,
  async run(context) {
    const api = await context.environment();
    const session = await api.call("sessions.close", { params: { id: context.args.session }, body: { reason: context.flags.reason } });
    return context.flags.json ? context.out.json(session) : context.out.lines(lifecycleLines("close", session));
  },
});

export const sessionCancel = environmentCommand({
  name: "session cancel",
  summary: "cancel a session and its current run",
  examples: [{ says: "cancel it and say why", command: `helmr session cancel ${exampleSession} --reason 'customer left'` }],
  args,
  flags,
  async run(context) {
    const api = await context.environment();
    const session = await api.call("sessions.cancel", { params: { id: context.args.session }, body: { reason: context.flags.reason } });
    return context.flags.json ? context.out.json(session) : context.out.lines(lifecycleLines("cancel", session));
  },
});
