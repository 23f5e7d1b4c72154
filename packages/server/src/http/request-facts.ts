/** What several routes read of a request beside its body. */
import type { FastifyRequest } from "fastify";
import { storableText } from "../domain/storable.ts";
import { invalid, type Refusal } from "../outcome.ts";
import type { Actor } from "./auth/actor.ts";

/** Versions of the caller's software (http §1.1), recorded on what it makes. Bounded: a header is anybody's text. */
export function clientVersions(request: FastifyRequest): { sdkVersion: string | undefined; cliVersion: string | undefined } {
  const header = (name: string) => {
    const value = request.headers[name];
    const text = (Array.isArray(value) ? value[0] : value)?.trim();
    return text ? storableText(text).slice(0, 128) : undefined;
  };
  return { sdkVersion: header("helmr-sdk-version"), cliVersion: header("helmr-cli-version") ?? header("helmr-client-version") };
}

/** A route works in the credential's or the path's scope; naming one in the body is refused, blank is not (http §1.3). */
export function refuseScopeFields(
  actor: Actor,
  body: { project_id?: string | undefined; environment_id?: string | undefined },
): Refusal | undefined {
  if (!body.project_id?.trim() && !body.environment_id?.trim()) return undefined;
  return invalid(
    actor.kind === "api_key"
      ? "project_id and environment_id are not accepted with API keys"
      : "project_id and environment_id are not accepted on project environment routes",
  );
}
