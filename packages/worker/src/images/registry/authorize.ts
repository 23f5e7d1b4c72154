/**
 * Answers of a registry's `WWW-Authenticate`: basic, or a bearer token from the server that it names. Tokens are kept per repository until shortly
 * before they end. Credentials are a tenant's secret: they are sent to the registry they are for and to its token server, and are in no message.
 */
import { ImageError } from "../image-error.ts";
import { readBody, requestRegistry } from "./http-request.ts";

export interface Credentials {
  username: string;
  password: string;
}

/** By registry as in a reference (`docker.io`, `ghcr.io`). */
export type CredentialsByRegistry = ReadonlyMap<string, Credentials>;

interface Challenge {
  scheme: "basic" | "bearer";
  parameters: Map<string, string>;
}

const tokenBytesMax = 1_048_576;
const tokenLifeSeconds = 60;

/** The first challenge that can be met; parameters are `key="value"`, separated by commas. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  const match = /^\s*(basic|bearer)\b(.*)$/is.exec(header ?? "");
  if (match === null) return undefined;
  const parameters = new Map<string, string>();
  for (const [, key = "", quoted, plain] of (match[2] ?? "").matchAll(/([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/gi))
    if (!parameters.has(key.toLowerCase())) parameters.set(key.toLowerCase(), quoted?.replaceAll(/\\(.)/g, "$1") ?? plain ?? "");
  return { scheme: match[1]?.toLowerCase() === "basic" ? "basic" : "bearer", parameters };
}

export interface TokenRequest {
  challenge: Challenge;
  repository: string;
  registry: string;
  credentials: Credentials | undefined;
  trustedOrigins: ReadonlySet<string>;
  signal: AbortSignal;
}

export interface Authorization {
  header: string;
  /** performance.now() until when it may be used. */
  untilMs: number;
}

export function basicHeader({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Docker's own file: `{"auths": {"ghcr.io": {"auth": base64 of user:password} or {"username", "password"}}}`. */
export function parseCredentials(text: string): CredentialsByRegistry {
  const found = new Map<string, Credentials>();
  let auths: unknown;
  try {
    auths = (JSON.parse(text) as { auths?: unknown }).auths;
  } catch {
    auths = undefined;
  }
  if (typeof auths !== "object" || auths === null)
    throw new ImageError(
      "registry_unauthorized",
      `The secret ${registrySecret} must be JSON like Docker's config.json: {"auths": {"ghcr.io": {"username": "…", "password": "…"}}}`,
    );
  for (const [name, entry] of Object.entries(auths as Record<string, { auth?: unknown; username?: unknown; password?: unknown } | null>)) {
    const credentials = credentialsOf(entry ?? {});
    if (credentials !== undefined) found.set(registryName(name), credentials);
  }
  return found;
}

/** Secret of an environment with the credentials for its base images. */
export const registrySecret = "HELMR_REGISTRY_AUTH";

function credentialsOf(entry: { auth?: unknown; username?: unknown; password?: unknown }): Credentials | undefined {
  if (typeof entry.username === "string" && typeof entry.password === "string")
    return { username: entry.username, password: entry.password };
  if (typeof entry.auth !== "string") return undefined;
  const decoded = Buffer.from(entry.auth, "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  return colon < 0 ? undefined : { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

/** `https://index.docker.io/v1/` is how Docker writes its own registry. */
function registryName(name: string): string {
  const host = name.replace(/^https?:\/\//, "").split("/")[0] ?? name;
  return host === "index.docker.io" || host === "registry-1.docker.io" ? "docker.io" : host;
}

export async function authorize(request: TokenRequest): Promise<Authorization> {
  const { challenge, credentials, registry } = request;
  if (challenge.scheme === "basic") {
    if (credentials === undefined) throw unauthorized(registry, request.repository);
    return { header: basicHeader(credentials), untilMs: Infinity };
  }
  const realm = URL.parse(challenge.parameters.get("realm") ?? "");
  if (realm === null || !/^https?:$/.test(realm.protocol))
    throw new ImageError("registry_answer_invalid", `The registry ${registry} asks for a token without saying where it is to be had`);
  const service = challenge.parameters.get("service");
  if (service !== undefined) realm.searchParams.set("service", service);
  realm.searchParams.set("scope", `repository:${request.repository}:pull`);
  const asked = performance.now();
  const response = await requestRegistry({
    url: realm,
    headers: { accept: "application/json", ...(credentials === undefined ? {} : { authorization: basicHeader(credentials) }) },
    trustedOrigins: request.trustedOrigins,
    signal: request.signal,
  });
  const body = await readBody(response, tokenBytesMax);
  if (response.status === 401 || response.status === 403) throw unauthorized(registry, request.repository);
  if (response.status !== 200)
    throw new ImageError(
      response.status >= 500 || response.status === 429 ? "registry_unavailable" : "registry_answer_invalid",
      `The token server ${realm.host} of ${registry} answered ${response.status}`,
    );
  return tokenOf(body, { registry, asked });
}

function tokenOf(body: Buffer, { registry, asked }: { registry: string; asked: number }): Authorization {
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown } = {};
  try {
    answer = (JSON.parse(body.toString("utf8")) ?? {}) as typeof answer;
  } catch {
    // Reported as an answer without a token.
  }
  const token = typeof answer.token === "string" ? answer.token : answer.access_token;
  if (typeof token !== "string" || !/^[\x21-\x7e]{1,65536}$/.test(token))
    throw new ImageError("registry_answer_invalid", `The token server of ${registry} gave no token`);
  const seconds = typeof answer.expires_in === "number" && answer.expires_in > 0 ? answer.expires_in : tokenLifeSeconds;
  return { header: `Bearer ${token}`, untilMs: asked + Math.max(5, seconds - 10) * 1000 };
}

export function unauthorized(registry: string, repository: string): ImageError {
  return new ImageError(
    "registry_unauthorized",
    `The registry ${registry} does not let this environment read ${repository}: it is private or does not exist. Put credentials into the secret ${registrySecret}`,
  );
}
