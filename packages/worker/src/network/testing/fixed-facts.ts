/** A host whose addresses, names and name servers are what a test says. */
import type { HostFacts } from "../host-facts.ts";
import { parseHosts } from "../hosts-file.ts";
import { parseAddress } from "../ip-address.ts";

export interface FixedHost {
  own?: string[];
  hosts?: string;
  nameServers?: { address: string; port: number }[];
  /** What the system's resolver knows. */
  system?: Record<string, string[]>;
}

export function fixedFacts(host: FixedHost): HostFacts & { lookedUp: string[] } {
  const own = new Set(host.own ?? []);
  const lookedUp: string[] = [];
  return {
    lookedUp,
    ownAddresses: () => own,
    hasIpv6: () => [...own].some((address) => address.includes(":")),
    hosts: async () => parseHosts(host.hosts ?? ""),
    nameServers: async () => host.nameServers ?? [],
    lookUp: async (name) => {
      lookedUp.push(name);
      return (host.system?.[name] ?? []).flatMap((text) => parseAddress(text) ?? []);
    },
  };
}
