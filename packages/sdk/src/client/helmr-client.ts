/** The client (sdk §9.1), and the default one that the lazy namespaces share. */
import { type AuthApi, authApi } from "./auth.ts";
import { runsApi } from "./runs.ts";
import type { RunsApi } from "./run-shapes.ts";
import { schedulesApi } from "./schedules.ts";
import type { SchedulesApi } from "./schedule-shapes.ts";
import { sessionsApi } from "./sessions.ts";
import type { SessionsApi } from "./session-shapes.ts";
import { tokensApi } from "./tokens.ts";
import type { ClientTokensApi } from "./token-shapes.ts";
import { Transport } from "./transport.ts";
import { workspacesApi } from "./workspaces.ts";
import type { WorkspacesApi } from "./workspace-shapes.ts";

export interface HelmrClientOptions {
  /** Default: HELMR_API_URL. https, or http on this machine. */
  readonly url?: string;
  /** Default: HELMR_API_KEY. */
  readonly apiKey?: string;
}

export class HelmrClient {
  readonly sessions: SessionsApi;
  readonly runs: RunsApi;
  readonly tokens: ClientTokensApi;
  readonly schedules: SchedulesApi;
  readonly workspaces: WorkspacesApi;
  readonly auth: AuthApi;

  constructor(options: HelmrClientOptions = {}) {
    const transport = new Transport({
      url: options.url ?? environment("HELMR_API_URL"),
      apiKey: options.apiKey ?? environment("HELMR_API_KEY"),
    });
    this.sessions = sessionsApi(transport);
    this.runs = runsApi(transport);
    this.tokens = tokensApi(transport);
    this.schedules = schedulesApi(transport);
    this.workspaces = workspacesApi(transport);
    this.auth = authApi(transport);
  }
}

/** A browser has no `process`. */
function environment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name];
}

let shared: HelmrClient | undefined;

/** Made from the environment on first use, then kept. */
export function defaultClient(): HelmrClient {
  return (shared ??= new HelmrClient());
}

/**
 * An object whose members are those of the default client's API, looked up when they are asked for. `then` and symbols are not members:
 * asking whether the namespace is a promise must not build a client.
 */
export function lazyNamespace<T extends object>(api: (client: HelmrClient) => object, local: Partial<T> = {}): T {
  const own = Object.freeze({ ...local });
  return new Proxy(own, {
    get(target, key) {
      if (Object.hasOwn(target, key)) return Reflect.get(target, key) as unknown;
      if (typeof key === "symbol" || key === "then") return undefined;
      return Reflect.get(api(defaultClient()), key) as unknown;
    },
  }) as T;
}
