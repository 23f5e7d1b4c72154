/** Bounds how often an address may call the public /api/v1 routes (engine §7): their secrets cannot be guessed, but each guess costs a look-up. */
import type { FastifyRequest } from "fastify";
import { addressBlock, rateRules, takeRateToken } from "../operations/take-rate-token.ts";
import type { Refusal } from "../outcome.ts";
import type { EngineContext } from "../engine-context.ts";

export function limitPublicCalls(db: EngineContext["db"], request: FastifyRequest): Promise<Refusal | undefined> {
  return takeRateToken(db, rateRules.publicToken, addressBlock(request.ip));
}
