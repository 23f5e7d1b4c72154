/**
 * Where a registry is really asked: its mirrors first, in the operator's order, then itself. What the operator named (mirrors and registries) may
 * be on private addresses and may speak plain http; everything else is https on public addresses, because its name was written by a tenant.
 */
export interface RegistryEndpoint {
  /** Without a slash at the end; `/v2/...` follows. */
  url: URL;
  /** Named by the operator: any address is right. */
  trusted: boolean;
  /** Whether credentials of the tenant for the registry go there: not to a mirror. */
  isMirror: boolean;
}

export interface RegistrySettings {
  mirrors: ReadonlyMap<string, readonly URL[]>;
  registries: readonly URL[];
}

type Parsed<T> = { ok: true; value: T } | { ok: false; problem: string };

export function endpointsOf(registry: string, settings: RegistrySettings): RegistryEndpoint[] {
  const mirrors = (settings.mirrors.get(registry) ?? []).map((url) => ({ url, trusted: true, isMirror: true }));
  const named = settings.registries.find((url) => url.host === new URL(`${url.protocol}//${registry}`).host);
  const own: RegistryEndpoint = named
    ? { url: named, trusted: true, isMirror: false }
    : { url: new URL(`https://${registry === "docker.io" ? "registry-1.docker.io" : registry}`), trusted: false, isMirror: false };
  return [...mirrors, own];
}

/** `docker.io=http://127.0.0.1:5000,ghcr.io=https://mirror.example/ghcr`; a registry may have several. */
export function parseMirrors(text: string): Parsed<ReadonlyMap<string, readonly URL[]>> {
  const mirrors = new Map<string, URL[]>();
  for (const entry of entriesOf(text)) {
    const equals = entry.indexOf("=");
    const url = endpointUrl(entry.slice(equals + 1));
    if (equals < 1 || url === undefined)
      return { ok: false, problem: `must be mirrors such as docker.io=http://127.0.0.1:5000, separated by commas, not "${entry}"` };
    const registry = entry.slice(0, equals).toLowerCase();
    mirrors.set(registry, [...(mirrors.get(registry) ?? []), url]);
  }
  return { ok: true, value: mirrors };
}

/** `http://127.0.0.1:5000,https://registry.corp.example`. */
export function parseRegistries(text: string): Parsed<readonly URL[]> {
  const urls: URL[] = [];
  for (const entry of entriesOf(text)) {
    const url = endpointUrl(entry);
    if (url === undefined || url.pathname !== "/")
      return { ok: false, problem: `must be registries such as http://127.0.0.1:5000, separated by commas, not "${entry}"` };
    urls.push(url);
  }
  return { ok: true, value: urls };
}

function entriesOf(text: string): string[] {
  return text
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

function endpointUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "" || url.username !== "") return undefined;
  return url;
}
