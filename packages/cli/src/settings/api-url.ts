/** The base URL of an installation (cli §2): http or https, no query, no fragment, a path prefix is kept without its last slash. */
import { Failure } from "../failure.ts";

export type ParsedUrl = { ok: true; url: string } | { ok: false; problem: string };

export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.toLowerCase().replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host) || /^::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}$/.test(host);
}

/** The normal form is also the name of the saved credential. */
export function parseBaseUrl(text: string): ParsedUrl {
  const trimmed = text.trim();
  const url = URL.canParse(trimmed) ? new URL(trimmed) : undefined;
  if (url === undefined || url.hostname === "") return { ok: false, problem: "is not a URL such as https://helmr.example.com" };
  if (url.protocol !== "http:" && url.protocol !== "https:") return { ok: false, problem: "must begin with http:// or https://" };
  if (url.username !== "" || url.password !== "") return { ok: false, problem: "must not contain a user name or password" };
  if (trimmed.includes("?")) return { ok: false, problem: "must not have a query" };
  if (trimmed.includes("#")) return { ok: false, problem: "must not have a fragment" };
  if (url.protocol === "http:" && !isLoopbackHost(url.hostname)) {
    return {
      ok: false,
      problem: "must begin with https://: HELMR_API_KEY and login tokens are sent over http only to localhost or a loopback IP",
    };
  }
  return { ok: true, url: url.origin + url.pathname.replace(/\/+$/, "") };
}

/** `source` says where the text came from, for the error. */
export function baseUrl(text: string, source: string): string {
  const parsed = parseBaseUrl(text);
  if (!parsed.ok) throw new Failure(`${source} ${JSON.stringify(text.trim())} ${parsed.problem}`);
  return parsed.url;
}
