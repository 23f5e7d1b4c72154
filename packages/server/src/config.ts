/**
 * The only reader of the environment (house §5). One table says each setting's name, parser, default, whether it is secret, and what it is
 * for; all problems are reported at once and the result is total and frozen. `--print-config` and docs/reference/configuration.md come from
 * the table. What is not for operators to tune is a constant in `limits.ts`.
 */
export interface Setting<T> {
  name: string;
  /** `undefined` in: the variable is absent or blank. A text out is what is wrong with it, said after the name. */
  parse: (text: string) => { ok: true; value: T } | { ok: false; problem: string };
  default: T | undefined;
  secret: boolean;
  doc: string;
}

export class ConfigError extends Error {
  override name = "ConfigError";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length === 1 ? "a problem" : `${problems.length} problems`}:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`,
    );
    this.problems = problems;
  }
}

const required = undefined;

function setting<T>(name: string, parse: Setting<T>["parse"], fallback: T | undefined, doc: string): Setting<T> {
  return { name, parse, default: fallback, secret: false, doc };
}

/** Its value is never printed. */
function secret<T>(shown: Setting<T>): Setting<T> {
  return { ...shown, secret: true };
}

const text = (value: string) => ({ ok: true, value }) as const;

function integer(min: number, max: number): Setting<number>["parse"] {
  return (value) => {
    const number = Number(value);
    return /^\d+$/.test(value) && number >= min && number <= max
      ? { ok: true, value: number }
      : { ok: false, problem: `must be an integer from ${min} to ${max}, not "${value}"` };
  };
}

const boolean: Setting<boolean>["parse"] = (value) =>
  value === "1" || value === "true"
    ? { ok: true, value: true }
    : value === "0" || value === "false"
      ? { ok: true, value: false }
      : { ok: false, problem: `must be true or false, not "${value}"` };

function oneOf<const V extends string>(values: readonly V[]): Setting<V>["parse"] {
  return (value) =>
    (values as readonly string[]).includes(value)
      ? { ok: true, value: value as V }
      : { ok: false, problem: `must be one of ${values.join(", ")}, not "${value}"` };
}

/** Kept without a slash at the end, so that paths can be appended. */
const httpUrl: Setting<string>["parse"] = (value) => {
  const url = URL.parse(value);
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash)
    return { ok: false, problem: `must be an http or https URL without query, not "${value}"` };
  return { ok: true, value: value.replace(/\/+$/, "") };
};

const commaSeparated = (value: string): string[] =>
  value
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");

const origins: Setting<readonly string[]>["parse"] = (value) => {
  const items = commaSeparated(value);
  const wrong = items.find((item) => URL.parse(item)?.origin !== item.replace(/\/$/, "") || !/^https?:/.test(item));
  if (wrong !== undefined)
    return { ok: false, problem: `must be origins such as https://app.example.com, separated by commas, not "${wrong}"` };
  return { ok: true, value: items.map((item) => item.replace(/\/$/, "")) };
};

/** `smtps://user:password@host:465`, `smtp://host:587`. */
const smtpUrl: Setting<string>["parse"] = (value) => {
  const url = URL.parse(value);
  // The value holds a password: it is not repeated.
  if (!url || !/^smtps?:$/.test(url.protocol) || url.hostname === "")
    return { ok: false, problem: "must be a URL such as smtp://user:password@host:587" };
  return { ok: true, value };
};

export const settings = {
  databaseUrl: secret(
    setting("HELMR_DATABASE_URL", text, required, "PostgreSQL 15 or newer, as postgres://user:password@host:port/database"),
  ),
  databasePoolSize: setting("HELMR_DATABASE_POOL_SIZE", integer(2, 500), 16, "connections of this process to PostgreSQL"),
  host: setting("HELMR_HOST", text, "127.0.0.1", "address to listen on; 0.0.0.0 for every interface"),
  port: setting("PORT", integer(0, 65_535), 8787, "port to listen on; 0 takes a free one"),
  publicUrl: setting(
    "HELMR_PUBLIC_URL",
    httpUrl,
    "",
    "URL under which people and programs reach this server; default http://localhost:PORT",
  ),
  workerUrl: setting(
    "HELMR_WORKER_URL",
    httpUrl,
    "",
    "URL under which workers reach this server (grants of the fs blob store); default the public URL",
  ),
  trustProxy: setting(
    "HELMR_TRUST_PROXY",
    boolean,
    false,
    "take the client's address from X-Forwarded-For: only behind a proxy that sets it",
  ),
  mode: setting(
    "HELMR_MODE",
    oneOf(["local", "self_hosted", "managed"]),
    "self_hosted",
    "local: one machine, one-time login link; managed: no setup token",
  ),
  stateDirectory: setting(
    "HELMR_STATE_DIR",
    text,
    "",
    "directory for the key file and, with the fs store, blobs; needed unless both are given",
  ),
  keyFile: setting(
    "HELMR_KEY_FILE",
    text,
    "",
    "file with the key ring (src/key-ring.ts); default keys.json in the state directory, made at first start in local mode",
  ),
  checkpointKey: secret(
    setting(
      "HELMR_CHECKPOINT_ENCRYPTION_KEY",
      text,
      "",
      "keys that seal checkpoints and all other chunks, as id:base64, the current one first, older ones after commas; before those of the key ring",
    ),
  ),
  keyRing: secret(setting("HELMR_KEY_RING", text, "", "the key ring itself, instead of a file")),
  blobStore: setting("HELMR_BLOB_STORE", oneOf(["fs"]), "fs", "where bytes are kept"),
  blobDirectory: setting("HELMR_BLOB_DIR", text, "", "directory of the fs store; default blobs/ in the state directory"),
  consoleDirectory: setting("HELMR_CONSOLE_DIR", text, "", "directory of the built web console; without it the server has no console"),
  packagesDirectory: setting("HELMR_PACKAGES_DIR", text, "", "directory of npm tarballs served under /npm/; without it that path is 404"),
  enrollmentSecret: secret(setting("HELMR_ENROLLMENT_SECRET", text, "", "secret with which workers of the default group enroll")),
  setupToken: secret(setting("HELMR_SETUP_TOKEN", text, "", "token with which the first user creates the organization (self_hosted mode)")),
  corsOrigins: setting("HELMR_CORS_ORIGINS", origins, [], "origins that may call the public /api/v1 routes; default the public URL's own"),
  githubClientId: setting(
    "HELMR_GITHUB_CLIENT_ID",
    text,
    "",
    "client id of the GitHub OAuth app; without it there is no login with GitHub",
  ),
  githubClientSecret: secret(setting("HELMR_GITHUB_CLIENT_SECRET", text, "", "client secret of the GitHub OAuth app")),
  githubUrl: setting("HELMR_GITHUB_URL", httpUrl, "https://github.com", "where people log in to GitHub"),
  githubApiUrl: setting(
    "HELMR_GITHUB_API_URL",
    httpUrl,
    "https://api.github.com",
    "API of GitHub; https://HOST/api/v3 for an enterprise server",
  ),
  smtpUrl: secret(
    setting("HELMR_SMTP_URL", smtpUrl, "", "SMTP server for mails; without it they are written to the log, login links included"),
  ),
  mailFrom: setting("HELMR_MAIL_FROM", text, "Helmr <helmr@localhost>", "sender of mails"),
  waitLiveMs: setting(
    "HELMR_WAIT_LIVE_MS",
    integer(0, 86_400_000),
    120_000,
    "how long a token or stream wait keeps its machine before the run is parked",
  ),
  timerLiveMs: setting("HELMR_TIMER_LIVE_MS", integer(0, 86_400_000), 5_000, "how long a timer keeps its machine before the run is parked"),
  resumeWaitMs: setting(
    "HELMR_RESUME_WAIT_MS",
    integer(1_000, 30 * 86_400_000),
    3_600_000,
    "how long a parked run may want to resume while no worker can restore it",
  ),
  mountIdleSeconds: setting(
    "HELMR_MOUNT_IDLE_SECONDS",
    integer(1, 30 * 86_400),
    300,
    "a mounted workspace in which nothing happened for so long is captured and stopped",
  ),
  magicLinkDebug: setting("HELMR_MAGIC_LINK_DEBUG", boolean, false, "answer magic link starts with the link itself: for tests only"),
  logLevel: setting("HELMR_LOG_LEVEL", oneOf(["debug", "info", "warn", "error", "silent"]), "info", "least severe event that is logged"),
} as const;

type Value<S> = S extends Setting<infer T> ? T : never;
export type Config = { readonly [K in keyof typeof settings]: Value<(typeof settings)[K]> };

export function readConfig(environment: Readonly<Record<string, string | undefined>>, overrides: Partial<Config> = {}): Config {
  const problems: string[] = [];
  const result: Record<string, unknown> = {};
  for (const [key, { name, parse, default: fallback }] of Object.entries(settings) as [string, Setting<unknown>][]) {
    const given = environment[name]?.trim();
    if (key in overrides) result[key] = overrides[key as keyof Config];
    else if (given === undefined || given === "") {
      if (fallback === undefined) problems.push(`${name} is not set: ${settings[key as keyof Config].doc}`);
      result[key] = fallback;
    } else {
      const parsed = parse(given);
      if (parsed.ok) result[key] = parsed.value;
      else problems.push(`${name} ${parsed.problem}`);
    }
  }
  const config = derive(result as Config, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config);
}

/** Defaults that follow from other settings. */
function derive(config: Config, problems: string[]): Config {
  if ((config.githubClientId === "") !== (config.githubClientSecret === "")) {
    problems.push("HELMR_GITHUB_CLIENT_ID and HELMR_GITHUB_CLIENT_SECRET belong together: give both or none");
  }
  const publicUrl = config.publicUrl || `http://localhost:${config.port}`;
  const state = config.stateDirectory;
  if (!state && !((config.keyFile || config.keyRing) && config.blobDirectory)) {
    problems.push("HELMR_STATE_DIR is not set: give it, or a key ring (HELMR_KEY_FILE or HELMR_KEY_RING) and HELMR_BLOB_DIR");
  }
  return {
    ...config,
    publicUrl,
    workerUrl: config.workerUrl || publicUrl,
    keyFile: config.keyFile || `${state}/keys.json`,
    blobDirectory: config.blobDirectory || `${state}/blobs`,
  };
}

/** One line per setting, secrets hidden: what `--print-config` shows. */
export function describeConfig(config: Config): string {
  return (Object.entries(settings) as [keyof Config, Setting<unknown>][])
    .map(([key, { name, secret }]) => `${name}=${secret && config[key] ? "(secret)" : String(config[key])}`)
    .join("\n");
}
