import { argument, environmentCommand, jsonFlag } from "../../../command.ts";
import { tabbed } from "../../../text/table.ts";

export const sessionStreamList = environmentCommand({
  name: "session stream list",
  summary: "list the streams of a session",
  examples: [{ says: "name, direction and last sequence", command: "helmr session stream list 01980a00-0000-7000-8000-000000000003" }],
  args: { session: argument("SESSION", "id of the session") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { streams } = await api.call("streams.list", { params: { id: context.args.session } });
    if (context.flags.json) return context.out.json({ streams });
    return context.out.lines(streams.map((stream) => tabbed(stream.name, stream.direction, stream.sequence)));
  },
});
