import type { LogRecordPage, LogSnapshot as WireLogSnapshot, Run, RunCancelResult } from "@helmr/protocol/api";
import { idOf, members } from "./body-members.ts";
import type { RequestOptions } from "./request-options.ts";
import { type RunSource, listRunEvents, retrieveRun, subscribeRunEvents, waitForRun } from "./run-events.ts";
import type { RunCancelOptions, RunEvent, RunSnapshot, RunsApi } from "./run-shapes.ts";
import { logRecordPage, logSnapshot, runEvent, runSnapshot } from "./run-views.ts";
import type { Transport } from "./transport.ts";

export function runsApi(transport: Transport): RunsApi {
  const source = (run: string | { readonly id: string }, options: RequestOptions): RunSource => ({
    transport,
    runId: idOf(run, "a run"),
    options,
  });
  const pathOf = (run: string | { readonly id: string }): string => `/runs/${encodeURIComponent(idOf(run, "a run"))}`;
  return Object.freeze<RunsApi>({
    async retrieve<O>(run: string | { readonly id: string }, options = {}) {
      return (await retrieveRun(source(run, options))) as RunSnapshot<O>;
    },
    async wait<O>(run: string | { readonly id: string }, options = {}) {
      return (await waitForRun(source(run, options), options)) as RunSnapshot<O>;
    },
    async cancel<O>(run: string | { readonly id: string }, options: RunCancelOptions = {}) {
      const { reason, force, idempotencyKey } = options;
      const body = members({ reason, force, idempotency_key: idempotencyKey });
      const answer = await transport.json<RunCancelResult>({ method: "POST", path: `${pathOf(run)}/cancel`, body, options });
      return runSnapshot(answer.run) as RunSnapshot<O>;
    },
    async list(options = {}) {
      const { runs } = await transport.json<{ runs: Run[] }>({
        method: "GET",
        path: "/runs",
        query: [
          ["status", options.status],
          ["limit", options.limit],
        ],
        options,
      });
      return runs.map(runSnapshot);
    },
    logs: Object.freeze<RunsApi["logs"]>({
      async retrieve(run, options = {}) {
        return logSnapshot(await transport.json<WireLogSnapshot>({ method: "GET", path: `${pathOf(run)}/logs`, options }));
      },
      async records(run, options = {}) {
        const query = [
          ["format", "records"],
          ["cursor", options.cursor],
          ["limit", options.limit],
        ] as const;
        return logRecordPage(await transport.json<LogRecordPage>({ method: "GET", path: `${pathOf(run)}/logs`, query, options }));
      },
    }),
    events: Object.freeze<RunsApi["events"]>({
      async list(run, options = {}) {
        const runSource = source(run, options);
        const events: RunEvent[] = [];
        for await (const record of listRunEvents(runSource, options)) {
          const event = runEvent(record, runSource.runId);
          if (event !== undefined) events.push(event);
        }
        return events;
      },
      subscribe(run, options = {}) {
        const runSource = source(run, options);
        return { [Symbol.asyncIterator]: () => subscribeRunEvents(runSource, options) };
      },
    }),
  });
}
