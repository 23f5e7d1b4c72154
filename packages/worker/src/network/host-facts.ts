/**
 * What the network of this host looks like just now: its own addresses, its table of names, its name servers. Each is read again at most
 * every `hostFactsMs`, when it is asked for; a file that cannot be read counts as empty.
 */
import dns from "node:dns";
import { open } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { Gate } from "../host/limited.ts";
import { parseHosts, parseNameServers } from "./hosts-file.ts";
import type { HostsTable } from "./hosts-file.ts";
import type { NameServer } from "./dns-upstream.ts";
import { parseAddress } from "./ip-address.ts";
import type { IpAddress } from "./ip-address.ts";
import { networkLimits } from "./limits.ts";

export interface HostFacts {
  ownAddresses(): ReadonlySet<string>;
  /** Whether the host has an IPv6 address that leads anywhere. */
  hasIpv6(): boolean;
  hosts(): Promise<HostsTable>;
  nameServers(): Promise<readonly NameServer[]>;
  /** All ways that this host knows names, for names that the operator listed. */
  lookUp(name: string): Promise<readonly IpAddress[]>;
}

export class SystemFacts implements HostFacts {
  private own: { at: number; addresses: ReadonlySet<string> } | null = null;
  private readonly hostsTable = new Reread("/etc/hosts", parseHosts);
  private readonly resolver = new Reread("/etc/resolv.conf", parseNameServers);
  private readonly lookUpGate = new Gate(networkLimits.systemLookUpsAtOnce);
  private readonly lookUps = new Map<string, { at: number; addresses: Promise<readonly IpAddress[]> }>();

  ownAddresses(): ReadonlySet<string> {
    const now = performance.now();
    if (!this.own || now - this.own.at > networkLimits.hostFactsMs) this.own = { at: now, addresses: interfaceAddresses() };
    return this.own.addresses;
  }

  hasIpv6(): boolean {
    return [...this.ownAddresses()].some((text) => text.includes(":") && text !== "::1" && !/^fe[89ab]/.test(text));
  }

  hosts(): Promise<HostsTable> {
    return this.hostsTable.value();
  }

  async nameServers(): Promise<readonly NameServer[]> {
    const servers = await this.resolver.value();
    return servers.length > 0 ? servers : dns.getServers().map(serverFromText);
  }

  /** Once at a time per name, and few in all: each takes one of Node's four threads for as long as the system's resolver likes. */
  lookUp(name: string): Promise<readonly IpAddress[]> {
    const now = performance.now();
    const known = this.lookUps.get(name);
    if (known && now - known.at < networkLimits.dnsLocalTtlSeconds * 1000) return known.addresses;
    const addresses = this.lookUpGate.run(() => systemLookup(name));
    this.lookUps.set(name, { at: now, addresses });
    return addresses;
  }
}

class Reread<T> {
  private current: { at: number; value: Promise<T> } | null = null;
  private readonly path: string;
  private readonly parse: (text: string) => T;

  constructor(path: string, parse: (text: string) => T) {
    this.path = path;
    this.parse = parse;
  }

  value(): Promise<T> {
    const now = performance.now();
    if (!this.current || now - this.current.at > networkLimits.hostFactsMs)
      this.current = { at: now, value: readStart(this.path).then(this.parse) };
    return this.current.value;
  }
}

async function readStart(path: string): Promise<string> {
  try {
    await using file = await open(path, "r");
    const buffer = Buffer.alloc(networkLimits.hostsFileBytes);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } catch {
    // Not every host has the file; names then come from the other sources.
    return "";
  }
}

function interfaceAddresses(): ReadonlySet<string> {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return new Set(addresses.flatMap(({ address }) => parseAddress(address.split("%")[0] ?? "")?.text ?? []));
}

/** `1.2.3.4`, `1.2.3.4:53`, `2001:db8::1`, `[2001:db8::1]:53`. */
function serverFromText(text: string): NameServer {
  const match = /^\[([^\]]+)\]:(\d+)$/.exec(text) ?? /^([^:]+):(\d+)$/.exec(text);
  return match ? { address: match[1] ?? text, port: Number(match[2]) } : { address: text, port: 53 };
}

async function systemLookup(name: string): Promise<readonly IpAddress[]> {
  try {
    const found = await dns.promises.lookup(name, { all: true });
    return found.slice(0, networkLimits.dnsAddressesPerName).flatMap(({ address }) => parseAddress(address.split("%")[0] ?? "") ?? []);
  } catch {
    // Unknown to the system: the name servers are asked next.
    return [];
  }
}
