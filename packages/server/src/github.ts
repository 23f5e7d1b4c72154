/**
 * The part of GitHub that a login needs: the page where somebody agrees, the exchange of the code, and who it was. Answers are bounded in time and
 * size and trusted for nothing but their meaning.
 *
 *   1. the browser goes to `authorizeUrl` with state and PKCE challenge, and comes back with a code
 *   2. `exchangeCode` turns code and verifier into an access token, which is used for step 3 and then forgotten
 *   3. `readIdentity` reads the account and its verified primary address
 */
import { createHash } from "node:crypto";
import type { GithubSettings } from "./account-settings.ts";

const timeoutMs = 10_000;
const answerBytesMax = 1024 * 1024;

export type GithubFailure =
  /** GitHub answered and says no: the code is wrong, used or too old. */
  | { failed: "refused"; reason: string }
  /** No answer, or one that cannot be understood. */
  | { failed: "unavailable"; reason: string };

export interface GithubIdentity {
  id: number;
  name: string;
  imageUrl: string;
  /** The verified primary address, lower case; absent when there is none. */
  email: string | undefined;
}

export interface Authorization {
  redirectUri: string;
  state: string;
  codeVerifier: string;
}

export function authorizeUrl(github: GithubSettings, authorization: Authorization): string {
  const query = new URLSearchParams({
    client_id: github.clientId,
    redirect_uri: authorization.redirectUri,
    scope: "user:email",
    state: authorization.state,
    code_challenge: createHash("sha256").update(authorization.codeVerifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  return `${github.url}/login/oauth/authorize?${query.toString()}`;
}

export async function exchangeCode(
  github: GithubSettings,
  exchange: { code: string; redirectUri: string; codeVerifier: string },
): Promise<{ accessToken: string } | GithubFailure> {
  const body = new URLSearchParams({
    client_id: github.clientId,
    client_secret: github.clientSecret,
    code: exchange.code,
    redirect_uri: exchange.redirectUri,
    code_verifier: exchange.codeVerifier,
  });
  const answer = await fetchJson(`${github.url}/login/oauth/access_token`, { method: "POST", body });
  if ("failed" in answer) return answer;
  const { access_token: accessToken, error } = answer.json as { access_token?: unknown; error?: unknown };
  if (typeof accessToken === "string" && accessToken !== "") return { accessToken };
  // GitHub says no with status 200 and an error inside.
  return typeof error === "string"
    ? { failed: "refused", reason: error }
    : { failed: "unavailable", reason: "the answer has no access token" };
}

export async function readIdentity(github: GithubSettings, accessToken: string): Promise<GithubIdentity | GithubFailure> {
  const headers = { authorization: `Bearer ${accessToken}` };
  const [user, emails] = await Promise.all([
    fetchJson(`${github.apiUrl}/user`, { headers }),
    fetchJson(`${github.apiUrl}/user/emails?per_page=100`, { headers }),
  ]);
  if ("failed" in user) return user;
  if ("failed" in emails) return emails;
  const account = (user.json ?? {}) as { id?: unknown; login?: unknown; name?: unknown; avatar_url?: unknown };
  if (typeof account.id !== "number" || !Number.isSafeInteger(account.id))
    return { failed: "unavailable", reason: "the account has no id" };
  return {
    id: account.id,
    name: firstText(account.name, account.login),
    imageUrl: httpsUrl(account.avatar_url),
    email: primaryEmail(emails.json),
  };
}

function primaryEmail(json: unknown): string | undefined {
  if (!Array.isArray(json)) return undefined;
  const addresses = json as { email?: unknown; primary?: unknown; verified?: unknown }[];
  const primary = addresses.find((address) => address?.primary === true && address.verified === true);
  return typeof primary?.email === "string" ? primary.email.trim().toLowerCase() : undefined;
}

function firstText(...values: unknown[]): string {
  const found = values.find((value) => typeof value === "string" && value.trim() !== "");
  return typeof found === "string" ? found.trim().slice(0, 200) : "";
}

/** The picture is shown in the console: nothing but http or https may get there. */
function httpsUrl(value: unknown): string {
  const url = typeof value === "string" && value.length <= 2_048 ? URL.parse(value) : null;
  return url && /^https?:$/.test(url.protocol) ? url.href : "";
}

interface Call {
  method?: "POST";
  headers?: Record<string, string>;
  body?: URLSearchParams;
}

async function fetchJson(url: string, init: Call): Promise<{ json: unknown } | GithubFailure> {
  try {
    const response = await fetch(url, {
      ...init,
      headers: { accept: "application/json", "user-agent": "helmr", ...init.headers },
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await boundedText(response);
    if (response.status === 401 || response.status === 403) return { failed: "refused", reason: `GitHub answered ${response.status}` };
    if (!response.ok) return { failed: "unavailable", reason: `GitHub answered ${response.status}` };
    return { json: JSON.parse(text) as unknown };
  } catch (error) {
    return { failed: "unavailable", reason: (error as Error).message };
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > answerBytesMax) throw new RangeError(`the answer is larger than ${answerBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
