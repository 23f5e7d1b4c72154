import { type PayloadSchema, logger, metadata, sandbox, task } from "@helmr/sdk";

const failuresSchema: PayloadSchema<{ failures?: number }, { failures: number }> = {
  "~standard": {
    version: 1,
    vendor: "examples",
    validate(value) {
      const { failures = 1 } = (value ?? {}) as { failures?: unknown };
      return typeof failures === "number" ? { value: { failures } } : { issues: [{ message: "must be a number", path: ["failures"] }] };
    },
  },
};

/** Fails as often as it is told, then succeeds: the attempts share the run and its workspace. */
export const flaky = task({
  id: "flaky",
  sandbox: sandbox("housekeeping"),
  retry: { maxAttempts: 3, backoff: { minMs: 200, maxMs: 1_000, jitter: "none" } },
  payload: failuresSchema,
  async run({ failures }, ctx) {
    const attempt = ctx.run.attemptNumber ?? 1;
    await metadata.increment("attempts");
    if (attempt <= failures) {
      logger.warn(`attempt ${attempt} fails on purpose`);
      throw new Error(`attempt ${attempt} failed`);
    }
    return { attempt };
  },
});
