/** What accounts and logins need to know of the configuration, worked out once. Nothing here reads the environment. */
import type { Config } from "./config.ts";

export interface GithubSettings {
  clientId: string;
  clientSecret: string;
  /** Where people log in, without a slash at the end. */
  url: string;
  apiUrl: string;
}

export interface AccountSettings {
  mode: Config["mode"];
  /** Without a slash at the end; links in mails and redirects begin with it. */
  publicUrl: string;
  /** Cookies are `__Host-` and `Secure` exactly when the public URL is https. */
  secureCookies: boolean;
  /** Origins whose pages may use a session cookie for changes. */
  cookieOrigins: ReadonlySet<string>;
  /** Origins that may call the public /api/v1 routes (http §5.4). */
  corsOrigins: ReadonlySet<string>;
  /** Whether the one-time local login link exists: on one machine, and only while nobody else can reach the server. */
  localLink: boolean;
  setupToken: string | undefined;
  magicLinkDebug: boolean;
  github: GithubSettings | undefined;
}

export type AccountConfig = Pick<
  Config,
  | "mode"
  | "publicUrl"
  | "host"
  | "corsOrigins"
  | "setupToken"
  | "magicLinkDebug"
  | "githubClientId"
  | "githubClientSecret"
  | "githubUrl"
  | "githubApiUrl"
>;

export function accountSettings(config: AccountConfig): AccountSettings {
  const publicUrl = new URL(config.publicUrl);
  const localLink = config.mode === "local" && isLoopback(config.host);
  const github = config.githubClientId !== "" && config.githubClientSecret !== "";
  return {
    mode: config.mode,
    publicUrl: config.publicUrl,
    secureCookies: publicUrl.protocol === "https:",
    cookieOrigins: new Set(localLink ? loopbackOrigins(publicUrl) : [publicUrl.origin]),
    corsOrigins: new Set(config.corsOrigins.length > 0 ? config.corsOrigins : [publicUrl.origin]),
    localLink,
    setupToken: config.setupToken === "" ? undefined : config.setupToken,
    magicLinkDebug: config.magicLinkDebug,
    github: github
      ? { clientId: config.githubClientId, clientSecret: config.githubClientSecret, url: config.githubUrl, apiUrl: config.githubApiUrl }
      : undefined,
  };
}

/** An address to listen on that other machines cannot reach. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** One machine has several names; all of them are the same server on the same port. */
function loopbackOrigins(publicUrl: URL): string[] {
  const port = publicUrl.port === "" ? "" : `:${publicUrl.port}`;
  return [publicUrl.origin, ...["localhost", "127.0.0.1", "[::1]"].map((host) => `${publicUrl.protocol}//${host}${port}`)];
}
