/** `helmr up | down | doctor | env | test | supervise`: what the front door hands over. Results on stdout, everything else on stderr. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { doctor } from "./doctor.ts";
import { down } from "./down.ts";
import { LocalError } from "./local-error.ts";
import { repository } from "./prepare.ts";
import { openProgress } from "./progress.ts";
import { printEnvironment } from "./ready.ts";
import { findState } from "./state.ts";
import { runTests } from "./run-tests.ts";
import { superviseDetached, up } from "./up.ts";

const help = `Usage: ./helmr up [--detach] [--json]     install what is missing and start everything
       ./helmr down [--purge]             stop everything; --purge also removes the state
       ./helmr doctor [--json]            check this machine; each failure has a line that starts with FIX:
       ./helmr env                        print HELMR_API_URL and HELMR_API_KEY for eval
       ./helmr test [KIND ...]            run what .ci/run runs
       ./helmr COMMAND ...                the command line: ./helmr --help

Environment: HELMR_STATE_DIR (default .helmr of the checkout), HELMR_PORT (default 8787 or a free one).
`;

async function main(): Promise<void> {
  const [word = "", ...rest] = process.argv.slice(2);
  if (rest.includes("--help") || rest.includes("-h")) return void process.stdout.write(help);
  const stateDirectory = process.env["HELMR_STATE_DIR"] || join(repository, ".helmr");
  switch (word) {
    case "up": {
      const { detach, json } = flags(rest, ["detach", "json"]);
      await up({ stateDirectory, port: wantedPort(), detach, json, progress: openProgress() });
      return;
    }
    case "down": {
      const { purge } = flags(rest, ["purge"]);
      return down(stateDirectory, { purge, say: (line) => process.stderr.write(`${line}\n`) });
    }
    case "doctor": {
      const { json } = flags(rest, ["json"]);
      process.exitCode = (await doctor(stateDirectory, { json })) ? 0 : 1;
      return;
    }
    case "env":
      process.stdout.write(await printEnvironment(await findState(stateDirectory)));
      return;
    case "test":
      process.exitCode = await runTests(rest);
      return;
    case "supervise":
      return superviseDetached(stateDirectory);
    default:
      process.stderr.write(help);
      process.exitCode = 1;
  }
}

function flags<const N extends string>(args: string[], names: readonly N[]): Record<N, boolean> {
  try {
    const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "boolean" as const }])) });
    return Object.fromEntries(names.map((name) => [name, values[name] === true])) as Record<N, boolean>;
  } catch (error) {
    throw new LocalError(
      (error as Error).message.split(". ")[0] ?? "unknown option",
      `one of: ${names.map((name) => `--${name}`).join(", ")}`,
    );
  }
}

function wantedPort(): number | undefined {
  const text = process.env["HELMR_PORT"];
  if (text === undefined || text === "") return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new LocalError(`HELMR_PORT is "${text}", which is no port.`, "a number from 1 to 65535");
  return port;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof LocalError)) throw error;
  process.stderr.write(`${error.message}\nFIX: ${error.fix}\n`);
  process.exitCode = 1;
}
