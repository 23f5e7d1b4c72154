/** `session stream input list` and `session stream output list`. */
import type { StreamRecord } from "@helmr/protocol/api";
import { argument, cursor, environmentCommand, jsonFlag, limit } from "../../../command.ts";
import type { Output } from "../../../terminal/output.ts";

const args = { session: argument("SESSION", "id of the session"), stream: argument("STREAM", "name of the stream") };
const flags = { ...jsonFlag, cursor: cursor("only records behind this sequence"), limit: limit("at most so many records") };
const exampleSession = "01980a00-0000-7000-8000-000000000003";

/** Text output is JSON too, one record per line: data has no other form. */
async function printRecords(out: Output, records: readonly StreamRecord[], json: boolean): Promise<void> {
  if (json) return out.json({ records });
  return out.lines(records.map((record) => JSON.stringify(record)));
}

export const sessionStreamInputList = environmentCommand({
  name: "session stream input list",
  summary: "list the records of an input stream",
  examples: [{ says: "what was sent after record 10", command: `helmr session stream input list ${exampleSession} approvals --cursor 10` }],
  args,
  flags,
  async run(context) {
    const api = await context.environment();
    const { records } = await api.call("streams.listInput", {
      params: { id: context.args.session, stream: context.args.stream },
      query: { cursor: context.flags.cursor, limit: context.flags.limit },
    });
    return printRecords(context.out, records, context.flags.json);
  },
});

export const sessionStreamOutputList = environmentCommand({
  name: "session stream output list",
  summary: "list the records of an output stream",
  examples: [{ says: "the first hundred records", command: `helmr session stream output list ${exampleSession} progress --limit 100` }],
  args,
  flags,
  async run(context) {
    const api = await context.environment();
    const { records } = await api.call("streams.listOutput", {
      params: { id: context.args.session, stream: context.args.stream },
      query: { cursor: context.flags.cursor, limit: context.flags.limit },
    });
    return printRecords(context.out, records, context.flags.json);
  },
});
