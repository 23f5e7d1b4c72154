import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type PayloadSchema, logger, sandbox, task } from "@helmr/sdk";

const run = promisify(execFile);

/** Hex SHA-256 of each value, so that the values can be proved without being told. */
interface Expected {
  env?: string;
  file?: string;
  dir?: string;
}

const expectedSchema: PayloadSchema<Expected> = {
  "~standard": {
    version: 1,
    vendor: "examples",
    validate(value) {
      const { env, file, dir } = (value ?? {}) as Record<string, unknown>;
      const digests = { env, file, dir };
      const bad = Object.entries(digests).find(
        ([, digest]) => digest !== undefined && (typeof digest !== "string" || !/^[0-9a-f]{64}$/.test(digest)),
      );
      if (bad !== undefined) return { issues: [{ message: "must be a hex SHA-256", path: [bad[0]] }] };
      return { value: digests as Expected };
    },
  },
};

const relativeFile = "private/check-file.txt";
const absoluteDirectory = "/etc/helmr-check";

/** Secrets arrive in the three ways there are; the answer holds truths about them and no value. */
export const secretCheck = task({
  id: "secret-check",
  sandbox: sandbox("secrets"),
  secrets: [
    { name: "CHECK_ENV", env: "CHECK_ENV" },
    { name: "CHECK_FILE", file: relativeFile },
    { name: "CHECK_DIR", dir: absoluteDirectory },
  ],
  payload: expectedSchema,
  async run(expected, ctx) {
    const env = process.env["CHECK_ENV"] ?? "";
    const filePath = join(ctx.workspace.path, relativeFile);
    const file = await readFile(filePath, "utf8");
    const inDirectory = await readFile(join(absoluteDirectory, "CHECK_DIR"), "utf8");

    // On purpose: whoever reads the run's logs must find these masked.
    console.log(`the secret in the environment is ${env}`);
    console.error(`the secret in the file is ${file}`);
    logger.info(`the secret in the directory is ${inDirectory}`);

    return {
      env: env !== "",
      envMatches: matches(env, expected.env),
      envReachesChildren: await childSees("CHECK_ENV"),
      file: file !== "",
      fileMatches: matches(file, expected.file),
      filePrivate: (await modeOf(filePath)) === 0o600,
      dir: inDirectory !== "",
      dirMatches: matches(inDirectory, expected.dir),
      dirPrivate: (await modeOf(absoluteDirectory)) === 0o700 && (await modeOf(join(absoluteDirectory, "CHECK_DIR"))) === 0o600,
      otherNamesInEnvironment: "CHECK_FILE" in process.env || "CHECK_DIR" in process.env,
    };
  },
});

/** True without an expectation. */
function matches(value: string, digest: string | undefined): boolean {
  return digest === undefined || createHash("sha256").update(value).digest("hex") === digest;
}

async function childSees(variable: string): Promise<boolean> {
  const { stdout } = await run("bash", ["-c", `test -n "$${variable}" && echo yes`]);
  return stdout.trim() === "yes";
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}
