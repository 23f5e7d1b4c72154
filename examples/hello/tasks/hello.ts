import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type PayloadSchema, logger, sandbox, task } from "@helmr/sdk";

interface Hello {
  name?: string;
}

// A schema of zod, valibot or arktype can stand here as well.
const helloSchema: PayloadSchema<Hello> = {
  "~standard": {
    version: 1,
    vendor: "my-project",
    validate(value) {
      const name = (value as Hello | null)?.name;
      if (name === undefined || typeof name === "string") return { value: { name } };
      return { issues: [{ message: "must be a string", path: ["name"] }] };
    },
  },
};

export const hello = task({
  id: "hello",
  sandbox: sandbox("default"),
  payload: helloSchema,
  async run({ name = "world" }, ctx) {
    const greeting = `Hello, ${name}!`;
    // The workspace outlives this run: another session can be started on it.
    await writeFile(join(ctx.workspace.path, "greeting.txt"), `${greeting}\n`);
    logger.info("wrote greeting.txt");
    return { greeting };
  },
});
