/** From the flags of `session start` to the request body (cli §5.3). Only the validity of JSON is judged here; the rest is the server's. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { SessionStartInput } from "@helmr/protocol/api";
import type { Json, JsonObject } from "@helmr/protocol/shared";
import { Failure, reasonOf } from "../../failure.ts";
import { typedJson } from "../../http/raw-json.ts";

export interface StartFlags {
  payloadFile: string | undefined;
  payloadJson: string | undefined;
  payload: string[];
  queue: string | undefined;
  concurrencyKey: string | undefined;
  priority: number | undefined;
  ttl: string | undefined;
  maxDurationSeconds: number | undefined;
  metadataFile: string | undefined;
  metadataJson: string | undefined;
  tag: string[];
  retryFile: string | undefined;
  retryJson: string | undefined;
  idempotencyKey: string | undefined;
  idempotencyKeyTtl: string | undefined;
  workspace: string | undefined;
}

export async function startBody(taskId: string, flags: StartFlags, directory: string): Promise<SessionStartInput> {
  return {
    task_id: taskId,
    payload: await payloadOf(flags, directory),
    queue: flags.queue === undefined ? undefined : { name: flags.queue },
    concurrency_key: flags.concurrencyKey,
    priority: flags.priority,
    ttl: flags.ttl,
    max_duration_seconds: flags.maxDurationSeconds,
    metadata: (await fileOrText({ name: "metadata", file: flags.metadataFile, json: flags.metadataJson, directory })) as
      | JsonObject
      | undefined,
    tags: flags.tag.length === 0 ? undefined : flags.tag,
    retry: (await fileOrText({ name: "retry", file: flags.retryFile, json: flags.retryJson, directory })) as SessionStartInput["retry"],
    idempotency_key: trimmedKey(flags.idempotencyKey),
    idempotency_key_ttl: flags.idempotencyKeyTtl,
    workspace_id: flags.workspace,
  };
}

/** Sent as typed, trimmed; never hashed as the SDK does. */
export function trimmedKey(key: string | undefined): string | undefined {
  const trimmed = key?.trim() ?? "";
  return trimmed === "" ? undefined : trimmed;
}

async function payloadOf(flags: StartFlags, directory: string): Promise<Json> {
  const pairs = flags.payload.length > 0;
  if (flags.payloadFile !== undefined && flags.payloadJson !== undefined)
    throw new Failure("--payload-file and --payload-json cannot be used together");
  if (flags.payloadFile !== undefined && pairs) throw new Failure("--payload-file and --payload cannot be used together");
  if (flags.payloadJson !== undefined && pairs) throw new Failure("--payload-json and --payload cannot be used together");
  if (pairs) return pairObject(flags.payload, "payload");
  return (await fileOrText({ name: "payload", file: flags.payloadFile, json: flags.payloadJson, directory })) ?? {};
}

/** `KEY=VALUE` texts as an object of strings. Later pairs win. */
function pairObject(pairs: readonly string[], flag: string): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      const key = pair.slice(0, Math.max(0, at)).trim();
      const value = pair.slice(at + 1).trim();
      if (at === -1 || key === "" || value === "")
        throw new Failure(`--${flag} must be KEY=VALUE with both parts filled, not ${JSON.stringify(pair)}`);
      return [key, value];
    }),
  );
}

async function fileOrText(given: {
  name: string;
  file: string | undefined;
  json: string | undefined;
  directory: string;
}): Promise<Json | undefined> {
  const { name, file, json } = given;
  if (file !== undefined && json !== undefined) throw new Failure(`--${name}-file and --${name}-json cannot be used together`);
  if (json !== undefined) return typedJson(json, `--${name}-json`);
  if (file === undefined) return undefined;
  try {
    return typedJson(await readFile(path.resolve(given.directory, file), "utf8"), file);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`cannot read --${name}-file ${file}: ${reasonOf(error)}`, { cause: error });
  }
}
