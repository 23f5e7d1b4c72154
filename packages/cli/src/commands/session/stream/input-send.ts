import { argument, environmentCommand, jsonFlag, required, text } from "../../../command.ts";
import { typedJson } from "../../../http/raw-json.ts";

export const sessionStreamInputSend = environmentCommand({
  name: "session stream input send",
  summary: "append a record to an input stream",
  examples: [
    {
      says: "approve",
      command: "helmr session stream input send 01980a00-0000-7000-8000-000000000003 approvals --data-json '{\"approved\":true}'",
    },
    {
      says: "at most once, for one of several questions",
      command:
        "helmr session stream input send 01980a00-0000-7000-8000-000000000003 approvals --data-json true --correlation-id q1 --idempotency-key q1",
    },
  ],
  args: { session: argument("SESSION", "id of the session"), stream: argument("STREAM", "name of the input stream") },
  flags: {
    ...jsonFlag,
    dataJson: required(text("JSON", "the data of the record")),
    correlationId: text("ID", "what the record answers"),
    idempotencyKey: text("KEY", "a repeated send with this key appends nothing"),
  },
  async run(context) {
    const { args, flags } = context;
    const data = typedJson(flags.dataJson, "--data-json");
    const api = await context.environment();
    const appended = await api.call("streams.appendInput", {
      params: { id: args.session, stream: args.stream },
      body: { data, correlation_id: flags.correlationId, idempotency_key: flags.idempotencyKey },
    });
    return flags.json ? context.out.json(appended) : context.out.line(`${appended.record.id} ${appended.record.sequence}`);
  },
});
