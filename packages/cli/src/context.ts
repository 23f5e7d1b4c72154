/** What `run` of a command gets: its values, the two outputs, and the API with the right host, credential and scope. */
import type { ArgumentValues, Arguments, CommandSpec, FlagValues, Flags } from "./command.ts";
import type { Group } from "./commands/catalog.ts";
import { ApiClient } from "./http/api-client.ts";
import type { Host } from "./host.ts";
import { apiKey, checkScopeFlags, chosenUrl, credentialFor, givenScope, loginFor, requiredUrl } from "./settings/access.ts";
import { type Colours, coloursFor, confirmDestruction, isInteractive } from "./terminal/interaction.ts";
import type { Output } from "./terminal/output.ts";

export interface ParsedCommand<F extends Flags, A extends Arguments> {
  args: ArgumentValues<A>;
  flags: FlagValues<F>;
  apiUrl: string | undefined;
  name: string;
  scopeText: "flags" | "layer";
  /** What stands behind `--`; undefined when there is no `--`. */
  passed: readonly string[] | undefined;
  outputs: { out: Output; err: Output };
  catalog: Catalog;
}

/** Every command there is, for the one that describes them all. */
export interface Catalog {
  commands: readonly CommandSpec[];
  groups: readonly Group[];
}

export class Context<F extends Flags = Flags, A extends Arguments = Arguments> {
  readonly host: Host;
  readonly args: ArgumentValues<A>;
  readonly flags: FlagValues<F>;
  readonly passed: readonly string[] | undefined;
  readonly out: Output;
  readonly err: Output;
  /** Colours and progress are allowed. */
  readonly interactive: boolean;
  /** For stderr; without effect when not interactive. */
  readonly colours: Colours;
  readonly #parsed: ParsedCommand<F, A>;

  constructor(host: Host, parsed: ParsedCommand<F, A>) {
    this.host = host;
    this.args = parsed.args;
    this.flags = parsed.flags;
    this.passed = parsed.passed;
    this.out = parsed.outputs.out;
    this.err = parsed.outputs.err;
    this.interactive = isInteractive(host, this.#flag("json") === true);
    this.colours = coloursFor(this.interactive);
    this.#parsed = parsed;
  }

  get signal(): AbortSignal {
    return this.host.signal;
  }

  get catalog(): Catalog {
    return this.#parsed.catalog;
  }

  get apiUrlFlag(): string | undefined {
    return this.#parsed.apiUrl;
  }

  /** The API of one environment, with the credential that was found. */
  async environment(): Promise<ApiClient> {
    const url = await requiredUrl(this.host, this.apiUrlFlag);
    const credential = await credentialFor(this.host, url);
    const scope = givenScope(this.#flag("project"), this.#flag("env"));
    if (this.#parsed.scopeText === "flags") checkScopeFlags(credential, scope);
    return new ApiClient({ baseUrl: url, credential, scope, signal: this.signal });
  }

  /** The API of projects and environments: a saved login only. */
  async management(): Promise<ApiClient> {
    const url = await this.chosenUrl();
    return new ApiClient({ baseUrl: url ?? "", credential: await loginFor(this.host, url), signal: this.signal });
  }

  chosenUrl(): Promise<string | undefined> {
    return chosenUrl(this.host, this.apiUrlFlag);
  }

  get hasApiKey(): boolean {
    return apiKey(this.host) !== undefined;
  }

  /** Where the console shows a thing; undefined with an API key and whenever the server does not say (cli §2). */
  async consoleUrl(api: ApiClient, path: string): Promise<string | undefined> {
    if (this.hasApiKey) return undefined;
    try {
      const { public_url } = await api.call("auth.me");
      return public_url === undefined || public_url === "" ? undefined : `${public_url.replace(/\/+$/, "")}${path}`;
    } catch {
      // The line is an extra: it is left out when the server does not tell.
      return undefined;
    }
  }

  /** Asks at a terminal, needs --yes elsewhere. */
  confirm(question: string): Promise<void> {
    return confirmDestruction(this.host, { command: this.#parsed.name, question, yes: this.#flag("yes") === true });
  }

  #flag(name: string): never {
    return (this.flags as Record<string, unknown>)[name] as never;
  }
}
