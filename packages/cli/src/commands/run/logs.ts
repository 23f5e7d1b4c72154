import type { LogRecord, LogRecordPage, LogSnapshot } from "@helmr/protocol/api";
import { argument, environmentCommand, toggle } from "../../command.ts";
import { Failure } from "../../failure.ts";
import { byteLogs, chunkBytes, followRunLogs, recordLogs, snapshotBytes } from "../../follow/run-logs.ts";
import type { ApiClient } from "../../http/api-client.ts";
import { instant } from "../../text/instant.ts";
import { tabbed } from "../../text/table.ts";

export const runLogs = environmentCommand({
  name: "run logs",
  summary: "print what a run wrote",
  details:
    "Without --records: the bytes as they were written, stdout to stdout and stderr to stderr, the last MiB of each.\n" +
    "With --records: one line per log record, `logger` calls included: time, stream or level, message, fields.",
  examples: [
    { says: "what was printed so far, and what comes", command: "helmr run logs 01980a00-0000-7000-8000-000000000004 --follow" },
    { says: "every record, as JSON lines", command: "helmr run logs 01980a00-0000-7000-8000-000000000004 --records --json" },
  ],
  args: { run: argument("RUN", "id of the run") },
  flags: {
    follow: toggle("go on until the run has ended"),
    records: toggle("print log records instead of bytes"),
    json: toggle("print one record per line, as JSON; needs --records"),
  },
  async run(context) {
    const { flags } = context;
    if (flags.json && !flags.records) throw new Failure("--json needs --records");
    const api = await context.environment();
    const address = { api, runId: context.args.run, signal: context.signal };
    if (flags.records) {
      const print = (records: readonly LogRecord[]) =>
        context.out.lines(records.map(flags.json ? (record) => JSON.stringify(record) : recordLine));
      const cursor = await printRecords(api, address.runId, print);
      if (flags.follow) await followRunLogs(address, { form: recordLogs, cursor, take: (record) => print([record]) });
      return;
    }
    const snapshot = (await api.call("runs.logs", { params: { id: address.runId } })) as LogSnapshot;
    const { stdout, stderr } = snapshotBytes(snapshot);
    await Promise.all([context.out.write(stdout), context.err.write(stderr)]);
    if (!flags.follow) return;
    const take = (stream: "stdout" | "stderr", bytes: Buffer) => (stream === "stdout" ? context.out : context.err).write(bytes);
    await followRunLogs(address, { form: byteLogs, cursor: snapshot.cursor, take: (chunk) => take(chunk.stream, chunkBytes(chunk)) });
  },
});

/** Every record there is; the result is the id of the last one. */
async function printRecords(api: ApiClient, runId: string, print: (records: readonly LogRecord[]) => Promise<void>): Promise<string> {
  let cursor = "0";
  for (;;) {
    const page = (await api.call("runs.logs", { params: { id: runId }, query: { format: "records", cursor } })) as LogRecordPage;
    await print(page.records);
    const last = page.records.at(-1)?.id ?? cursor;
    if (page.next_cursor === undefined || last === cursor) return last;
    cursor = last;
  }
}

function recordLine(record: LogRecord): string {
  const fields = record.fields === undefined ? [] : [JSON.stringify(record.fields)];
  return tabbed(instant(record.at), record.level ?? record.stream, record.message, ...fields);
}
