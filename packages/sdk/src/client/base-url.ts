/** Which URLs a client may talk to (sdk §9.1). */
import { UnsupportedTransportError } from "../errors.ts";

/** Without a slash at the end; a base path is kept. */
export interface BaseUrl {
  readonly href: string;
  /** http on this machine: allowed, but worth a warning. */
  readonly isPlaintext: boolean;
}

export function parseBaseUrl(text: string | undefined): BaseUrl {
  if (text === undefined || text.trim() === "") {
    throw new UnsupportedTransportError("The Helmr URL is missing; pass { url } to HelmrClient or set HELMR_API_URL");
  }
  const url = URL.parse?.(text.trim()) ?? parse(text.trim());
  if (url === null) throw new UnsupportedTransportError(`The Helmr URL is invalid: ${JSON.stringify(text)}`);
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new UnsupportedTransportError(`The Helmr URL must use https, and uses ${url.protocol.slice(0, -1)}`);
  }
  if (text.includes("?") || text.includes("#")) throw new UnsupportedTransportError("The Helmr URL must have no query and no fragment");
  if (url.username !== "" || url.password !== "")
    throw new UnsupportedTransportError("The Helmr URL must hold no credentials; pass { apiKey } or set HELMR_API_KEY");
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw new UnsupportedTransportError(`The Helmr URL must use https for ${url.hostname}; http is for localhost, 127.x and ::1 only`);
  }
  return { href: `${url.origin}${url.pathname.replace(/\/+$/, "")}`, isPlaintext: url.protocol === "http:" };
}

/** For engines without URL.parse (Node 20). */
function parse(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
