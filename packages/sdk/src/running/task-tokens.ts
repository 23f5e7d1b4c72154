/** Tokens inside a task (sdk §3.5): create, and wait for the outside party. */
import { withMethods } from "../client/execs.ts";
import { tokenView } from "../client/tokens.ts";
import type { Token, TokenCreateOptions, TokenRef, TokenWaitOptions, WaitableToken } from "../client/token-shapes.ts";
import { brand } from "../brand.ts";
import { DefinitionError, WaitCancelledError, WaitTimeoutError } from "../errors.ts";
import { guestSeconds } from "../guest-duration.ts";
import { utf8Bytes } from "../json-value.ts";
import { type PayloadSchema, checkSchema, parseWithSchema } from "../schema.ts";
import { blocking } from "./blocking.ts";
import { type WaitOutcome, activeRuntime } from "./port.ts";
import { type WaitHandle, type WaitResult, completed, failed, waitHandle } from "./wait-handle.ts";
import { metadataAndTags, waitFields } from "./wait-options.ts";

/** Adds `wait`, which works inside a task only. */
export function waitable(token: Token): WaitableToken {
  const wait = ((options?: TokenWaitOptions) => waitForToken(token, options)) as WaitableToken["wait"];
  return brand("client.token", withMethods(token, { wait }));
}

const idempotencyKeyBytesMax = 512;

export async function createToken(options: TokenCreateOptions): Promise<WaitableToken> {
  for (const name of ["projectId", "environmentId", "signal"] as const) {
    if (options[name] !== undefined)
      throw new DefinitionError(`tokens.create inside a task takes no ${name}: the token belongs to the run`);
  }
  const { timeout, idempotencyKey } = options;
  if (idempotencyKey !== undefined && utf8Bytes(idempotencyKey) > idempotencyKeyBytesMax) {
    throw new DefinitionError(`idempotencyKey of tokens.create must have at most ${idempotencyKeyBytesMax} bytes`);
  }
  const call = {
    kind: "token.create" as const,
    ...(timeout === undefined ? {} : { timeoutMs: guestSeconds(timeout, "timeout of tokens.create") * 1000 }),
    ...metadataAndTags(options, "tokens.create"),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  };
  const wire = await blocking("tokens.create", ({ runtime }) => runtime.call(call).answer);
  return waitable(tokenView(wire as Parameters<typeof tokenView>[0]));
}

const tokenIdCharactersMax = 64;

export function waitForToken<T>(token: string | TokenRef | Token, options: TokenWaitOptions<T> = {}): WaitHandle<T> {
  activeRuntime();
  const tokenId = typeof token === "string" ? token : token?.id;
  if (typeof tokenId !== "string" || tokenId.trim() === "" || tokenId.length > tokenIdCharactersMax)
    throw new DefinitionError("tokens.wait needs a token, an object with its id, or the id");
  const { schema } = options;
  if (schema !== undefined) checkSchema(schema, "schema of tokens.wait");
  const fields = waitFields(options, "a wait on a token");
  return waitHandle(() =>
    blocking(`a wait on token ${tokenId}`, async ({ runtime }): Promise<WaitResult<T>> => {
      // Counted when the wait begins, not when its handle was made.
      const timeoutSeconds = fields.timeoutSeconds ?? secondsLeft(token);
      const timeout = timeoutSeconds === undefined ? {} : { timeoutSeconds };
      const outcome = (await runtime.call({ kind: "wait", on: { kind: "token", tokenId }, parkable: true, ...fields, ...timeout })
        .answer) as WaitOutcome;
      if (outcome.kind !== "token") throw new DefinitionError(`The wait on token ${tokenId} was decided as a ${outcome.kind} wait`);
      if (outcome.status === "timed_out") return failed(new WaitTimeoutError(timeoutSeconds, `wait on token ${tokenId}`));
      if (outcome.status === "cancelled") return failed(new WaitCancelledError(`Token ${tokenId} was cancelled`));
      return completed(await parseTokenData(schema, outcome.data ?? null, tokenId));
    }),
  );
}

async function parseTokenData<T>(schema: PayloadSchema<unknown, T> | undefined, data: unknown, tokenId: string): Promise<T> {
  if (schema === undefined || data === null) return data as T;
  return await parseWithSchema(schema, data, `data of token ${tokenId}`);
}

/** Of the token's own timeout: at least a moment, in whole seconds. */
function secondsLeft(token: string | TokenRef | Token): number | undefined {
  const timeoutAt = typeof token === "object" && "timeoutAt" in token ? token.timeoutAt : null;
  const ms = timeoutAt === null || timeoutAt === undefined ? Number.NaN : Date.parse(timeoutAt) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.ceil(Math.max(1, ms) / 1000);
}
