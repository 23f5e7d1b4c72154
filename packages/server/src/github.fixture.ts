/** For tests: a server that speaks the part of GitHub's protocol that a login uses, and is as strict about it. */
import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface GithubAccount {
  id: number;
  login: string;
  name: string | null;
  avatar_url: string;
  emails: { email: string; primary: boolean; verified: boolean }[];
}

export interface GithubServer {
  url: string;
  clientId: string;
  clientSecret: string;
  /** Opens the redirect URL as the account's browser and agrees: the address GitHub sends it back to. */
  agree(redirectUrl: string, account: GithubAccount): Promise<URL>;
  /** Answers requests to a path instead of the real one, until `undefined` is given. */
  break(path: string, answer: ((response: ServerResponse) => void) | undefined): void;
  requests: string[];
  close(): Promise<void>;
}

interface Grant {
  account: GithubAccount;
  redirectUri: string;
  challenge: string;
}

export async function startGithubServer(): Promise<GithubServer> {
  const clientId = "Iv1.helmr-test";
  const clientSecret = randomBytes(8).toString("hex");
  const codes = new Map<string, Grant>();
  const tokens = new Map<string, GithubAccount>();
  const broken = new Map<string, (response: ServerResponse) => void>();
  const requests: string[] = [];
  let agreeing: GithubAccount | undefined;

  function authorize(url: URL, response: ServerResponse): void {
    const query = url.searchParams;
    const redirectUri = query.get("redirect_uri") ?? "";
    const ok = query.get("client_id") === clientId && query.get("scope") === "user:email" && query.get("code_challenge_method") === "S256";
    if (!ok || !agreeing) return void response.writeHead(404).end();
    const code = randomBytes(10).toString("hex");
    codes.set(code, { account: agreeing, redirectUri, challenge: query.get("code_challenge") ?? "" });
    const back = new URL(redirectUri);
    back.searchParams.set("code", code);
    back.searchParams.set("state", query.get("state") ?? "");
    response.writeHead(302, { location: back.href }).end();
  }

  async function exchange(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(await bodyText(request));
    const grant = codes.get(form.get("code") ?? "");
    codes.delete(form.get("code") ?? "");
    const challenge = createHash("sha256")
      .update(form.get("code_verifier") ?? "")
      .digest("base64url");
    if (form.get("client_id") !== clientId || form.get("client_secret") !== clientSecret)
      return sendJson(response, { error: "incorrect_client_credentials" });
    if (!grant || grant.challenge !== challenge) return sendJson(response, { error: "bad_verification_code" });
    if (grant.redirectUri !== form.get("redirect_uri")) return sendJson(response, { error: "redirect_uri_mismatch" });
    const token = `gho_${randomBytes(16).toString("hex")}`;
    tokens.set(token, grant.account);
    sendJson(response, { access_token: token, token_type: "bearer", scope: "user:email" });
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://github.test");
    requests.push(`${request.method} ${url.pathname}`);
    const replaced = broken.get(url.pathname);
    if (replaced) return replaced(response);
    if (url.pathname === "/login/oauth/authorize") return authorize(url, response);
    if (url.pathname === "/login/oauth/access_token" && request.method === "POST") return exchange(request, response);
    const account = tokens.get((request.headers.authorization ?? "").replace("Bearer ", ""));
    // The real one refuses requests that do not say who they are.
    if (!account || !request.headers["user-agent"]) return void response.writeHead(401).end("{}");
    const { emails, ...user } = account;
    if (url.pathname === "/api/user") return sendJson(response, { ...user, email: null });
    if (url.pathname === "/api/user/emails") return sendJson(response, emails);
    response.writeHead(404).end();
  }

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    clientId,
    clientSecret,
    requests,
    async agree(redirectUrl, account) {
      agreeing = account;
      const response = await fetch(redirectUrl, { redirect: "manual" });
      return new URL(response.headers.get("location") ?? "http://nowhere.invalid/");
    },
    break(path, replaced) {
      if (replaced) broken.set(path, replaced);
      else broken.delete(path);
    },
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

async function bodyText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
