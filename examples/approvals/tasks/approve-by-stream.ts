import { logger, metadata, sandbox, streams, task } from "@helmr/sdk";
import { changeSchema, decisionSchema } from "../lib/decision.ts";

export const decisions = streams.input("decisions", { schema: decisionSchema });
export const progress = streams.output("progress");

/** Waits for a record on an input stream of its own session, and tells on an output stream how far it is. */
export const approveByStream = task({
  id: "approve-by-stream",
  sandbox: sandbox("approvals"),
  payload: changeSchema,
  async run({ title, timeoutSeconds }) {
    const pid = process.pid;
    await progress.append({ step: "asked", title });
    const result = await decisions.wait({ timeout: timeoutSeconds, tags: ["approval"], metadata: { title } });
    if (!result.ok) {
      await progress.append({ step: "gave up", title });
      return { title, outcome: result.error.name, samePid: pid === process.pid };
    }
    const { approved, by } = result.data;
    logger.info(`${by} decided`, { approved });
    await metadata.set("decidedBy", by);
    await progress.append({ step: approved ? "approved" : "rejected", title });
    return { title, outcome: approved ? "approved" : "rejected", by, samePid: pid === process.pid };
  },
});
