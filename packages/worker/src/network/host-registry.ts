/**
 * What the single-machine install hands on from its host to its guests: the npm registry that the host uses, and the certificate authorities
 * that the host trusts beyond the public ones.
 *
 * The registry's own host and port are opened when they are not public, and nothing else. A registry on the host's loopback becomes a service
 * under a name of its own, because a guest's localhost is the guest. Credentials stay on the host: not the ones in a URL, not tokens.
 *
 * Notes are for the operator and the log; they name no host.
 */
import { execFile } from "node:child_process";
import { isIP } from "node:net";
import { promisify } from "node:util";
import { parseDestination, parseHostServices } from "./destination-rules.ts";
import type { DestinationRule, HostService } from "./destination-rules.ts";
import { findExtraCertificates } from "./host-certificates.ts";
import type { CertificateSources } from "./host-certificates.ts";
import type { HostFacts } from "./host-facts.ts";
import { parseAddress } from "./ip-address.ts";
import type { IpAddress } from "./ip-address.ts";
import { networkLimits } from "./limits.ts";
import { refusedCategory } from "./special-ranges.ts";

export interface HostSettings {
  /** `environment` of `attach`. */
  environment: Record<string, string>;
  /** `extraCa` of `attach`. */
  extraCa: string | undefined;
  /** To be added to the operator's allow-list and services. */
  allow: readonly DestinationRule[];
  services: readonly HostService[];
  notes: string[];
}

export interface NpmSettings {
  registry: string | undefined;
  cafile: string | undefined;
  ca: readonly string[];
}

export interface HostSettingsOptions {
  facts: Pick<HostFacts, "lookUp" | "ownAddresses">;
  environment: Readonly<Record<string, string | undefined>>;
  npm?: () => Promise<NpmSettings>;
  certificates?: Omit<CertificateSources, "environment" | "files" | "texts">;
}

const publicRegistry = "https://registry.npmjs.org/";
const registryService = "registry.helmr.internal";

export async function findHostSettings(options: HostSettingsOptions): Promise<HostSettings> {
  const npm = await (options.npm ?? (() => readNpmSettings(options.environment)))();
  const certificates = await findExtraCertificates({
    ...options.certificates,
    environment: options.environment,
    files: npm.cafile === undefined ? [] : [npm.cafile],
    texts: npm.ca,
  });
  const registry = await describeRegistry(npm.registry, options.facts);
  return { ...registry, extraCa: certificates.pem, notes: [...registry.notes, ...certificates.notes] };
}

type RegistrySettings = Omit<HostSettings, "extraCa">;

async function describeRegistry(text: string | undefined, facts: HostSettingsOptions["facts"]): Promise<RegistrySettings> {
  const none: RegistrySettings = { environment: {}, allow: [], services: [], notes: [] };
  // The default is looked at as well: a company may answer for its name itself.
  const url = URL.parse(text ?? publicRegistry);
  if (!url || !/^https?:$/.test(url.protocol))
    return { ...none, notes: ["The host's npm registry is not an http or https URL, so guests use the public one."] };
  const notes: string[] = [];
  if (url.username !== "" || url.password !== "") {
    url.username = "";
    url.password = "";
    notes.push("The URL of the host's npm registry has credentials; guests get it without them.");
  }
  const port = url.port === "" ? (url.protocol === "http:" ? 80 : 443) : Number(url.port);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const categories = await categoriesOf(host, facts);
  if (categories.includes("loopback")) return registryOnLoopback(url, port, notes);
  const environment: Record<string, string> = url.href === publicRegistry ? {} : { npm_config_registry: url.href };
  // Unknown now may be private later; what is opened is this one name and port either way.
  if (categories.length > 0 && categories.every((category) => category === null)) return { ...none, environment, notes };
  const rule = parseDestination(isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`);
  if (!rule.ok)
    return { ...none, environment, notes: [...notes, "The host of the npm registry is not a name that guests can be allowed."] };
  // Said by name also when it is the public one: yarn would ask its own public name, which is not opened.
  return { ...none, environment: { npm_config_registry: url.href }, allow: [rule.value], notes };
}

/** One per address; empty when the host is not known now. */
async function categoriesOf(host: string, facts: HostSettingsOptions["facts"]) {
  const literal = parseAddress(host);
  const addresses: readonly IpAddress[] = literal ? [literal] : await facts.lookUp(host);
  return addresses.map((address) => refusedCategory(address, facts.ownAddresses()));
}

function registryOnLoopback(url: URL, port: number, notes: string[]): RegistrySettings {
  const target = parseAddress(url.hostname.replace(/^\[|\]$/g, ""));
  const address = target?.family === 6 ? `[${target.text}]` : (target?.text ?? "127.0.0.1");
  const services = parseHostServices(`${registryService}:${port}=${address}:${port}`);
  const renamed = new URL(url);
  renamed.hostname = registryService;
  if (url.protocol === "https:")
    notes.push(`The host's npm registry is on its loopback with https: its certificate must be valid for ${registryService}.`);
  return { environment: { npm_config_registry: renamed.href }, allow: [], services: services.ok ? services.value : [], notes };
}

/** What npm itself says; without npm, what the environment says. */
export async function readNpmSettings(environment: Readonly<Record<string, string | undefined>>): Promise<NpmSettings> {
  const fromEnvironment = (name: string) => environment[`npm_config_${name}`] ?? environment[`NPM_CONFIG_${name.toUpperCase()}`];
  try {
    const { stdout } = await promisify(execFile)("npm", ["config", "ls", "-l", "--json"], {
      cwd: "/",
      env: environment,
      timeout: networkLimits.npmTimeoutMs,
      maxBuffer: 4 * networkLimits.caBundleBytes,
    });
    const settings = JSON.parse(stdout) as Record<string, unknown>;
    const text = (name: string) => (typeof settings[name] === "string" ? settings[name] : undefined);
    const ca = [settings["ca"]].flat().filter((pem) => typeof pem === "string");
    return { registry: text("registry"), cafile: text("cafile"), ca };
  } catch {
    return { registry: fromEnvironment("registry"), cafile: fromEnvironment("cafile"), ca: [] };
  }
}
