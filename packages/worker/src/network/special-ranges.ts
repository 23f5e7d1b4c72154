/**
 * Addresses that a guest does not reach unless the operator opens them. IPv4: everything that is not public (RFC 6890 and its registry).
 * IPv6: everything outside 2000::/3, and what inside it is not public. Addresses that carry an IPv4 address (NAT64, 6to4, ISATAP) are what
 * they carry as well, because something on the way may deliver there.
 *
 * The host's own public address behind a translator, and the provider's endpoints on public addresses that are not in this table, cannot be
 * known here; an operator closes those in the host's firewall.
 */
import { contains, makeAddress, range } from "./ip-address.ts";
import type { IpAddress, IpRange } from "./ip-address.ts";

export type RefusedCategory =
  | "unspecified"
  | "loopback"
  | "private"
  | "link_local"
  | "metadata"
  | "multicast"
  | "reserved"
  | "host_address";

/**
 * What opens a category: `any` rule that covers the address; `named`: a rule for this one address or for a name, because a wide range that
 * happens to cover the host itself was hardly meant so; `address`: a rule for this one address, because names are controlled by others;
 * `nothing`: no TCP connection goes there.
 */
export const openedBy = {
  private: "any",
  reserved: "any",
  host_address: "named",
  loopback: "address",
  link_local: "address",
  metadata: "address",
  unspecified: "nothing",
  multicast: "nothing",
} as const satisfies Record<RefusedCategory, "any" | "named" | "address" | "nothing">;

/** First match wins. */
const refused: readonly (readonly [IpRange, RefusedCategory])[] = (
  [
    // Endpoints that hand out credentials: AWS, GCP, Azure, OpenStack and others; containers on AWS; Alibaba; Azure's host; Oracle; Scaleway.
    ["169.254.169.254", "metadata"],
    ["169.254.170.2", "metadata"],
    ["169.254.170.23", "metadata"],
    ["169.254.42.42", "metadata"],
    ["100.100.100.200", "metadata"],
    ["168.63.129.16", "metadata"],
    ["192.0.0.192", "metadata"],
    ["fd00:ec2::254", "metadata"],
    ["fd00:ec2::23", "metadata"],
    ["fd20:ce::254", "metadata"],
    ["fd00:42::42", "metadata"],
    ["fe80::a9fe:a9fe", "metadata"],
    ["0.0.0.0/8", "unspecified"],
    ["127.0.0.0/8", "loopback"],
    ["169.254.0.0/16", "link_local"],
    ["10.0.0.0/8", "private"],
    ["172.16.0.0/12", "private"],
    ["192.168.0.0/16", "private"],
    ["100.64.0.0/10", "private"],
    ["192.0.0.0/24", "reserved"],
    ["192.0.2.0/24", "reserved"],
    ["192.88.99.0/24", "reserved"],
    ["198.18.0.0/15", "reserved"],
    ["198.51.100.0/24", "reserved"],
    ["203.0.113.0/24", "reserved"],
    ["224.0.0.0/4", "multicast"],
    ["255.255.255.255", "multicast"],
    ["240.0.0.0/4", "reserved"],
    ["::", "unspecified"],
    ["::1", "loopback"],
    ["fe80::/10", "link_local"],
    ["fec0::/10", "private"],
    ["fc00::/7", "private"],
    ["ff00::/8", "multicast"],
    ["64:ff9b:1::/48", "private"],
    ["2001::/23", "reserved"],
    ["2001:db8::/32", "reserved"],
    ["3fff::/20", "reserved"],
  ] as const
).map(([text, category]) => [range(text), category]);

const publicIpv6 = range("2000::/3");
const nat64 = range("64:ff9b::/96");
const sixToFour = range("2002::/16");
const low32 = 0xffff_ffffn;

/** The address and what it carries. */
export function formsOf(address: IpAddress): IpAddress[] {
  if (address.family === 4) return [address];
  const forms = [address];
  const isCompatible = address.value >> 32n === 0n && address.value > 1n;
  if (contains(nat64, address) || isCompatible) forms.push(makeAddress(4, address.value & low32));
  if (contains(sixToFour, address)) forms.push(makeAddress(4, (address.value >> 80n) & low32));
  const interfaceTag = (address.value >> 32n) & low32;
  if (interfaceTag === 0x5efen || interfaceTag === 0x0200_5efen) forms.push(makeAddress(4, address.value & low32));
  return forms;
}

const strictness = { any: 0, named: 1, address: 2, nothing: 3 } as const;

/** The category that is hardest to open among the forms of an address; `null` for a public address. */
export function refusedCategory(address: IpAddress, ownAddresses: ReadonlySet<string>): RefusedCategory | null {
  let strictest: RefusedCategory | null = null;
  for (const form of formsOf(address)) {
    const category = categoryOf(form, ownAddresses);
    if (category === null) continue;
    if (strictest === null || strictness[openedBy[category]] > strictness[openedBy[strictest]]) strictest = category;
  }
  return strictest;
}

function categoryOf(address: IpAddress, ownAddresses: ReadonlySet<string>): RefusedCategory | null {
  const entry = refused.find(([range]) => contains(range, address));
  const category = entry?.[1] ?? null;
  const isOwn = ownAddresses.has(address.text);
  if (isOwn && (category === null || openedBy[category] === "any")) return "host_address";
  if (category !== null) return category;
  return address.family === 6 && !contains(publicIpv6, address) && !contains(nat64, address) ? "reserved" : null;
}
