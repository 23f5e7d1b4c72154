/** What a command does only for a person at a terminal (cli §1): colours, progress, a question before something is destroyed. */
import { confirm, isCancel } from "@clack/prompts";
import pc from "picocolors";
import { Failure } from "../failure.ts";
import type { Host } from "../host.ts";

/** stdout and stderr are terminals, and nothing asks for plain output. */
export function isInteractive(host: Host, json: boolean): boolean {
  const asked = json || isSet(host, "CI") || isSet(host, "NO_COLOR");
  return !asked && host.stdout.isTTY === true && host.stderr.isTTY === true;
}

function isSet(host: Host, name: string): boolean {
  return (host.env[name] ?? "") !== "";
}

export type Colours = ReturnType<typeof pc.createColors>;

export function coloursFor(interactive: boolean): Colours {
  return pc.createColors(interactive);
}

/** Returns when the user agreed; `--yes` is the answer where nobody can be asked. */
export async function confirmDestruction(
  host: Host,
  request: { command: string; question: string; yes: boolean; json?: boolean },
): Promise<void> {
  if (request.yes) return;
  if (!isInteractive(host, request.json ?? false) || host.stdin.isTTY !== true) throw new Failure(`${request.command} needs --yes`);
  const agreed = await confirm({
    message: request.question,
    initialValue: false,
    input: host.stdin,
    output: host.stderr,
    signal: host.signal,
  });
  if (isCancel(agreed) || !agreed) throw new Failure("cancelled");
}
