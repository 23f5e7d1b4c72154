/**
 * Which host, which credential, which scope (cli §2). Decided before any request; the texts of the errors are part of the contract.
 */
import type { Credential, Scope } from "../http/api-client.ts";
import { Failure } from "../failure.ts";
import { type Host, environmentValue } from "../host.ts";
import { baseUrl } from "./api-url.ts";
import { readDefaultHost } from "./config-file.ts";
import { savedToken } from "./credential-store.ts";

export const accessTexts = {
  noUrl: "helmr API access requires HELMR_API_URL=http(s)://... or helmr login",
  noCredential: "helmr API access requires HELMR_API_KEY or helmr login",
  keyWithScope: "--project and --env require helmr login; API keys are already environment scoped",
  loginWithoutScope: "--project and --env are required with helmr login",
  managementWithoutLogin: "project and environment management requires helmr login",
} as const;

/** `--api-url`, then HELMR_API_URL, then the saved host; undefined when there is none. */
export async function chosenUrl(host: Host, apiUrlFlag: string | undefined): Promise<string | undefined> {
  if (apiUrlFlag !== undefined && apiUrlFlag.trim() !== "") return baseUrl(apiUrlFlag, "--api-url");
  const fromEnvironment = environmentValue(host, "HELMR_API_URL");
  if (fromEnvironment !== "") return baseUrl(fromEnvironment, "HELMR_API_URL");
  const saved = await readDefaultHost(host);
  return saved === undefined ? undefined : baseUrl(saved, "default_host");
}

export async function requiredUrl(host: Host, apiUrlFlag: string | undefined): Promise<string> {
  const url = await chosenUrl(host, apiUrlFlag);
  if (url === undefined) throw new Failure(accessTexts.noUrl);
  return url;
}

export function apiKey(host: Host): string | undefined {
  const key = environmentValue(host, "HELMR_API_KEY");
  if (key === "") return undefined;
  // A header cannot carry these, and the reason would not be readable from the error of the HTTP client.
  if (/[^\u0021-\u007e]/.test(key)) throw new Failure("HELMR_API_KEY contains blanks or characters that an API key never has");
  return key;
}

export async function credentialFor(host: Host, url: string): Promise<Credential> {
  const key = apiKey(host);
  if (key !== undefined) return { kind: "api_key", token: key };
  const token = await savedToken(host, url);
  if (token === undefined) throw new Failure(accessTexts.noCredential);
  return { kind: "login", token };
}

/** Without a host there is no login either. */
export async function loginFor(host: Host, url: string | undefined): Promise<Credential> {
  const token = url === undefined ? undefined : await savedToken(host, url);
  if (token === undefined) throw new Failure(accessTexts.managementWithoutLogin);
  return { kind: "login", token };
}

/** Blank counts as not given. */
export function givenScope(project: string | undefined, environment: string | undefined): Partial<Scope> {
  const given = { project: project?.trim() ?? "", environment: environment?.trim() ?? "" };
  return {
    ...(given.project === "" ? {} : { project: given.project }),
    ...(given.environment === "" ? {} : { environment: given.environment }),
  };
}

/** The check of commands that have -p and -e, before the layer's own. */
export function checkScopeFlags(credential: Credential, scope: Partial<Scope>): void {
  const { project, environment } = scope;
  if (credential.kind === "api_key" && (project !== undefined || environment !== undefined)) throw new Failure(accessTexts.keyWithScope);
  if (credential.kind === "login" && (project === undefined || environment === undefined)) throw new Failure(accessTexts.loginWithoutScope);
}
