import type { Session } from "@helmr/protocol/api";
import { environmentCommand, jsonFlag, optionalArgument, text } from "../../command.ts";
import { Failure } from "../../failure.ts";
import type { ApiClient } from "../../http/api-client.ts";
import { blockedText } from "../../text/blocked.ts";

export const sessionGet = environmentCommand({
  name: "session get",
  summary: "show a session, and why it does not run when it does not",
  examples: [
    { says: "by id", command: "helmr session get 01980a00-0000-7000-8000-000000000003" },
    { says: "by an id of your own", command: "helmr session get --external-id order-4711 --json" },
  ],
  args: { session: optionalArgument("SESSION", "id of the session; none with --external-id") },
  flags: { ...jsonFlag, externalId: text("ID", "id of your own, given when the session was started") },
  async run(context) {
    const { session: id } = context.args;
    const { externalId } = context.flags;
    if (id === undefined && externalId === undefined) throw new Failure("session get needs SESSION or --external-id");
    if (id !== undefined && externalId !== undefined) throw new Failure("session get takes SESSION or --external-id, not both");
    const api = await context.environment();
    const session =
      externalId === undefined ? await api.call("sessions.get", { params: { id: id ?? "" } }) : await onlyMatch(api, externalId);
    if (context.flags.json) return context.out.json(session);
    return context.out.lines([
      `Session:   ${session.id}`,
      `Task:      ${session.task_id}`,
      `Status:    ${session.status}`,
      `Activity:  ${session.activity}`,
      `Run:       ${session.current_run_id ?? ""}`,
      `Workspace: ${session.workspace_id ?? ""}`,
      ...(session.blocked === undefined ? [] : [`Blocked:   ${blockedText(session.blocked)}`]),
    ]);
  },
});

async function onlyMatch(api: ApiClient, externalId: string): Promise<Session> {
  const { sessions } = await api.call("sessions.list", { query: { external_id: externalId, limit: 2 } });
  const [session, another] = sessions;
  if (session === undefined) throw new Failure(`no session has the external id ${JSON.stringify(externalId)}`);
  if (another !== undefined) throw new Failure(`more than one session has the external id ${JSON.stringify(externalId)}`);
  return session;
}
