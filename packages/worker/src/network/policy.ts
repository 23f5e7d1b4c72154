/**
 * May this guest reach that destination? Pure: the answer depends on the lists, the host's addresses, and which names this guest was told
 * for the address.
 *
 *   1. `internet: false` closes everything.
 *   2. A denied range closes what lies in it, whatever else names it; an address counts with all its forms (special-ranges.ts).
 *   3. Addresses that are not public are closed unless the operator's allow-list or a service of the host opens them. A task's own `allow`
 *      never does: it only narrows.
 *   4. When the task has an allow-list, the destination must be on it, by address or by name.
 *
 * A name counts for an address only while the guest was recently told so by our own resolver (known-names.ts), for the name it asked for,
 * not for names on the way (CNAME). So a name that leads to a private address opens nothing (rebinding): rule 3 looks at the address alone,
 * except for names that the operator listed. Where a connection passes only because of a name and its address may be shared by others,
 * `serverNames` says which names a TLS connection may ask the server for (server-name.ts).
 *
 * What a name may be resolved to is not a boundary, only a kindness to programs; the decision at the connection is.
 */
import type { DestinationRule, GuestRules, HostService, NameRule } from "./destination-rules.ts";
import { isBelow } from "./host-name.ts";
import { contains, isSingleAddress } from "./ip-address.ts";
import type { IpAddress } from "./ip-address.ts";
import { formsOf, openedBy, refusedCategory } from "./special-ranges.ts";
import type { RefusedCategory } from "./special-ranges.ts";

interface HostRules {
  allow: readonly DestinationRule[];
  services: readonly HostService[];
  /** Canonical texts of the addresses of this host's interfaces. */
  ownAddresses: ReadonlySet<string>;
}

export interface Rules {
  guest: GuestRules;
  host: HostRules;
}

export type DenyReason =
  | RefusedCategory
  | "internet_disabled"
  | "denied_range"
  | "not_in_allow_list"
  | "server_name"
  | "bad_destination"
  | "limit";

export type ConnectionDecision =
  | { verdict: "allow"; host: string; port: number; serverNames: readonly (readonly NameRule[])[] }
  | { verdict: "deny"; reason: DenyReason };

export type NameDecision = { verdict: "resolve" } | { verdict: "service"; address: IpAddress } | { verdict: "deny"; reason: DenyReason };

export interface Destination {
  address: IpAddress;
  /** `null` asks whether any port is open. */
  port: number | null;
  names: readonly string[];
}

const deny = (reason: DenyReason) => ({ verdict: "deny", reason }) as const;

export function decideConnection(destination: Destination, rules: Rules): ConnectionDecision {
  const { address, port } = destination;
  const { guest, host } = rules;
  if (port === 0) return deny("bad_destination");
  if (!guest.internet) return deny("internet_disabled");
  const forms = formsOf(address);
  if (guest.deny.some((range) => forms.some((form) => contains(range, form)))) return deny("denied_range");

  const service = host.services.find((service) => service.address.text === address.text && (port === null || service.port === port));
  const category = service ? null : refusedCategory(address, host.ownAddresses);
  const opened = category === null ? openToAll : match(destination, host.allow, openedBy[category]);
  if (opened.by === "nothing") return deny(category ?? "reserved");

  const named = service ? { ...destination, names: [service.name] } : destination;
  const listed = guest.allow === null ? openToAll : match(named, guest.allow, "any");
  if (listed.by === "nothing") return deny("not_in_allow_list");

  if (service) return { verdict: "allow", ...service.target, serverNames: [] };
  const serverNames = [opened, listed].flatMap((match) => (match.by === "name" ? [match.rules] : []));
  return { verdict: "allow", host: address.text, port: port ?? 0, serverNames };
}

type Match = { by: "address" } | { by: "name"; rules: readonly NameRule[] } | { by: "nothing" };
const openToAll: Match = { by: "address" };

/** `rules` of a match by name are all names that are open on this port: a server may rightly be asked for any of them. */
function match(destination: Destination, rules: readonly DestinationRule[], opening: (typeof openedBy)[RefusedCategory]): Match {
  if (opening === "nothing") return { by: "nothing" };
  const onPort = rules.filter((rule) => rule.port === null || destination.port === null || rule.port === destination.port);
  const covers = (rule: DestinationRule) =>
    rule.kind === "range" && (opening === "any" || isSingleAddress(rule.range)) && contains(rule.range, destination.address);
  if (onPort.some(covers)) return { by: "address" };
  if (opening === "address") return { by: "nothing" };
  const names = onPort.filter((rule) => rule.kind !== "range");
  return destination.names.some((name) => names.some((rule) => ruleNames(rule, name))) ? { by: "name", rules: names } : { by: "nothing" };
}

export function ruleNames(rule: NameRule, name: string): boolean {
  return rule.kind === "name" ? rule.name === name : isBelow(name, rule.parent);
}

/** Whether a name is looked up for this guest. `addressQuestion`: A or AAAA, whose answer can still be judged by its addresses. */
export function decideName(name: string, rules: Rules, options: { addressQuestion: boolean }): NameDecision {
  const { guest, host } = rules;
  if (!guest.internet) return deny("internet_disabled");
  const listed =
    guest.allow === null || guest.allow.some((rule) => (rule.kind === "range" ? options.addressQuestion : ruleNames(rule, name)));
  const service = host.services.find((service) => service.name === name);
  if (!listed) return deny("not_in_allow_list");
  return service ? { verdict: "service", address: service.address } : { verdict: "resolve" };
}

/** Whether an address belongs into the answer for a name: some port of it must be open to one who knows it under this name. */
export function decideAnswer(name: string, address: IpAddress, rules: Rules): ConnectionDecision {
  return decideConnection({ address, port: null, names: [name] }, rules);
}
