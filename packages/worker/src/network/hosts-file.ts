/** The host's own table of names, /etc/hosts. */
import { normalizeName } from "./host-name.ts";
import { parseAddress } from "./ip-address.ts";
import type { IpAddress } from "./ip-address.ts";

export type HostsTable = ReadonlyMap<string, readonly IpAddress[]>;

export function parseHosts(text: string): HostsTable {
  const table = new Map<string, IpAddress[]>();
  for (const line of text.split("\n")) {
    const [first = "", ...names] = (line.split("#")[0] ?? "").trim().split(/\s+/);
    const address = parseAddress(first);
    if (!address) continue;
    for (const given of names) {
      const name = normalizeName(given);
      if (name) table.set(name, [...(table.get(name) ?? []), address]);
    }
  }
  return table;
}

/** Name servers of /etc/resolv.conf, at most three as the C library takes them. */
export function parseNameServers(text: string): { address: string; port: number }[] {
  const servers: { address: string; port: number }[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*nameserver\s+(\S+)/.exec(line);
    // A zone (fe80::1%eth0) stays: the socket needs it.
    if (match?.[1] && parseAddress(match[1].split("%")[0] ?? "")) servers.push({ address: match[1], port: 53 });
  }
  return servers.slice(0, 3);
}
