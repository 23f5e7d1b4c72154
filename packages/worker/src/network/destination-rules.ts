/**
 * Rules about destinations: the operator's allow-list, the services of this host that guests may use, and the lists of a task's sandbox
 * (http §9.5). Parsing only; policy.ts says what they mean.
 */
import type { NetworkPolicy } from "@helmr/protocol/worker";
import { normalizeName } from "./host-name.ts";
import { contains, hasHostBits, isSingleAddress, makeAddress, parseRange, range } from "./ip-address.ts";
import type { IpAddress, IpRange } from "./ip-address.ts";
import { networkLimits } from "./limits.ts";

export type DestinationRule = { port: number | null; text: string } & (
  | { kind: "range"; range: IpRange }
  | { kind: "name"; name: string }
  | { kind: "subdomains"; parent: string }
);
export type NameRule = Extract<DestinationRule, { kind: "name" | "subdomains" }>;

export type AllowList = readonly DestinationRule[];

/** A service of this host under a name of its own, for guests: they cannot name the host's loopback, because localhost is their own. */
export interface HostService {
  name: string;
  port: number;
  /** What guests resolve the name to; nothing else is there. */
  address: IpAddress;
  target: { host: string; port: number };
}

/** The lists of one guest. */
export interface GuestRules {
  internet: boolean;
  /** `null`: any public destination. */
  allow: readonly DestinationRule[] | null;
  deny: readonly IpRange[];
}

export type Parsed<T> = { ok: true; value: T } | { ok: false; problem: string };

const destinationForms = "an address, a CIDR, a host name or *.domain, each with an optional :port";

/** One destination, for example `10.1.2.0/24`, `10.1.2.3:5432`, `[fd00::1]:443`, `db.example.com`, `db.example.com:5432`. */
export function parseDestination(text: string): Parsed<DestinationRule> {
  const refuse = (why: string): Parsed<never> => ({ ok: false, problem: `"${text}" ${why}` });
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return refuse("is a URL: write its host and port, such as db.example.com:5432");
  const split = splitPort(text);
  if (!split) return refuse(`is not ${destinationForms}`);
  const { host } = split;
  const port = split.port === undefined ? null : Number(split.port);
  if (port !== null && (port < 1 || port > 65_535)) return refuse(`has the port ${split.port}: ports go from 1 to 65535`);
  const addresses = parseRange(host);
  if (addresses) {
    if (hasHostBits(host, addresses)) return refuse(`has bits behind its prefix: write ${addresses.text} if you mean all of it`);
    return { ok: true, value: { kind: "range", range: addresses, port, text } };
  }
  if (host.includes("/")) return refuse("is not a CIDR: write an address and a prefix length, such as 10.1.0.0/16");
  const wildcard = host.startsWith("*.");
  const name = normalizeName(wildcard ? host.slice(2) : host);
  if (!name) return refuse(`is not ${destinationForms}`);
  return { ok: true, value: { ...(wildcard ? { kind: "subdomains", parent: name } : { kind: "name", name }), port, text } };
}

/** IPv6 needs brackets to have a port; a bare IPv6 address or range has none. */
function splitPort(text: string): { host: string; port?: string | undefined } | undefined {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  if (bracketed?.[1]) return { host: bracketed[1], port: bracketed[2] };
  if (parseRange(text)) return { host: text };
  const plain = /^([^:[\]]+)(?::(\d{1,5}))?$/.exec(text);
  return plain?.[1] ? { host: plain[1], port: plain[2] } : undefined;
}

const loopbacks = [range("127.0.0.0/8"), range("::1")];

/** The operator's allow-list: destinations separated by commas or white space, `#` comments to the end of a line. All problems at once. */
export function parseAllowList(text: string): Parsed<AllowList> {
  const entries = listEntries(text);
  const problems: string[] = [];
  const rules: DestinationRule[] = [];
  if (entries.length > networkLimits.allowEntries)
    problems.push(`has ${entries.length} entries: the limit is ${networkLimits.allowEntries}`);
  for (const entry of entries.slice(0, networkLimits.allowEntries)) {
    const parsed = parseDestination(entry);
    if (!parsed.ok) problems.push(parsed.problem);
    else if (isLocalhost(parsed.value))
      problems.push(
        `"${entry}" would be the guest's own localhost: publish the service under a name, such as db.internal:5432=127.0.0.1:5432`,
      );
    else rules.push(parsed.value);
  }
  return problems.length > 0 ? { ok: false, problem: problems.join("; ") } : { ok: true, value: rules };
}

function isLocalhost(rule: DestinationRule): boolean {
  if (rule.kind === "range") {
    const { family, first, prefix } = rule.range;
    return prefix >= 8 && loopbacks.some((loopback) => contains(loopback, makeAddress(family, first)));
  }
  const name = rule.kind === "name" ? rule.name : rule.parent;
  return name === "localhost" || name.endsWith(".localhost");
}

/**
 * 10.63.1.1. Beside the network that guests see around them (10.63.0.0/24, guest/src/init/steer.c), not in it: the guest's kernel looks for
 * neighbours there.
 */
const firstServiceAddress = (10n << 24n) | (63n << 16n) | (1n << 8n) | 1n;

/** `name:port=address:port`, separated like the allow-list: guests reach the host's address:port as name:port. */
export function parseHostServices(text: string): Parsed<readonly HostService[]> {
  const entries = listEntries(text);
  const problems: string[] = [];
  const services: HostService[] = [];
  if (entries.length > networkLimits.serviceEntries)
    problems.push(`has ${entries.length} entries: the limit is ${networkLimits.serviceEntries}`);
  for (const entry of entries.slice(0, networkLimits.serviceEntries)) {
    const parsed = parseService(entry, services);
    if (parsed.ok) services.push(parsed.value);
    else problems.push(parsed.problem);
  }
  return problems.length > 0 ? { ok: false, problem: problems.join("; ") } : { ok: true, value: services };
}

function parseService(entry: string, earlier: readonly HostService[]): Parsed<HostService> {
  const [source = "", target = "", ...rest] = entry.split("=");
  const from = parseDestination(source);
  const to = parseDestination(target);
  if (rest.length > 0 || !from.ok || from.value.kind !== "name" || from.value.port === null)
    return { ok: false, problem: `"${entry}" must be name:port=address:port` };
  if (!to.ok || to.value.kind !== "range" || !isSingleAddress(to.value.range) || to.value.port === null)
    return { ok: false, problem: `"${entry}" must lead to one address and port of this host, such as 127.0.0.1:5432` };
  const { name, port } = from.value;
  if (earlier.some((service) => service.name === name && service.port === port))
    return { ok: false, problem: `"${entry}" names ${name}:${port} again` };
  const { family, first } = to.value.range;
  return {
    ok: true,
    value: { name, port, address: serviceAddress(name, earlier), target: { host: makeAddress(family, first).text, port: to.value.port } },
  };
}

/** One address per name: different ports of a name are different services behind it. */
function serviceAddress(name: string, earlier: readonly HostService[]): IpAddress {
  const known = earlier.find((service) => service.name === name);
  if (known) return known.address;
  return makeAddress(4, firstServiceAddress + BigInt(new Set(earlier.map((service) => service.name)).size));
}

/** The lists of a task's sandbox. The control plane has checked them at the build; what cannot be read here must not run. */
export function parseGuestRules(policy: NetworkPolicy): Parsed<GuestRules> {
  const allow: DestinationRule[] = [];
  for (const given of policy.allow ?? []) {
    const rule = parseTaskDestination(given.trim());
    if (!rule)
      return { ok: false, problem: `network allow entry "${given}" is not a domain, a *.domain wildcard, an IP address or a CIDR` };
    allow.push(rule);
  }
  const deny: IpRange[] = [];
  for (const given of policy.deny ?? []) {
    const closed = parseRange(given.trim().replace(/%[^/]*/, ""));
    if (!closed) return { ok: false, problem: `network deny entry "${given}" is not a CIDR` };
    deny.push(closed);
  }
  return { ok: true, value: { internet: policy.internet, allow: allow.length > 0 ? allow : null, deny } };
}

/** Without ports, and bits behind the prefix are ignored as the control plane does. */
function parseTaskDestination(given: string): DestinationRule | undefined {
  // A zone names an interface of the guest, where all addresses are the same.
  const text = given.replace(/%[^/]*/, "");
  const addresses = parseRange(text);
  if (addresses) return { kind: "range", range: addresses, port: null, text };
  const wildcard = text.startsWith("*.");
  const name = normalizeName(wildcard ? text.slice(2) : text);
  if (!name) return undefined;
  return { ...(wildcard ? { kind: "subdomains", parent: name } : { kind: "name", name }), port: null, text };
}

function listEntries(text: string): string[] {
  return text
    .replaceAll(/#[^\n]*/g, " ")
    .split(/[\s,]+/)
    .filter((entry) => entry !== "");
}
