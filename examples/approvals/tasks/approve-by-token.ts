import { logger, metadata, sandbox, task, tokens } from "@helmr/sdk";
import { changeSchema, decisionSchema } from "../lib/decision.ts";

/** Hands out a token: whoever has its callback URL, or its public access token, decides. The machine is free until then. */
export const approveByToken = task({
  id: "approve-by-token",
  sandbox: sandbox("approvals"),
  payload: changeSchema,
  async run({ title, timeoutSeconds }) {
    const token = await tokens.create({ timeout: timeoutSeconds, tags: ["approval"], metadata: { title } });
    await metadata.set("approval", { tokenId: token.id, title });
    logger.info("waiting for a decision", { tokenId: token.id });

    const result = await token.wait({ schema: decisionSchema, tags: "approval", metadata: { title } });
    if (!result.ok) {
      logger.warn("nobody decided", result.error.name);
      return { title, outcome: result.error.name };
    }
    return { title, outcome: result.data.approved ? "approved" : "rejected", by: result.data.by };
  },
});
