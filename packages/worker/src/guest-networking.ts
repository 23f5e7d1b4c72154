/** The guests' network from the configuration, and what this host hands on to its guests. */
import type { Config } from "./config.ts";
import { ConfigError } from "./config.ts";
import type { NetworkPeer } from "./host/network-peer.ts";
import { parseAllowList, parseHostServices } from "./network/destination-rules.ts";
import { GuestNetwork } from "./network/guest-network.ts";
import { SystemFacts } from "./network/host-facts.ts";
import { findHostSettings } from "./network/host-registry.ts";
import type { Telemetry } from "./telemetry.ts";

export interface GuestNetworking {
  network: NetworkPeer;
  guest: { environment: Record<string, string>; extraCa: string | undefined };
}

export async function guestNetworking(config: Config, telemetry: Telemetry): Promise<GuestNetworking> {
  const allow = parseAllowList(config.guestAllow);
  const services = parseHostServices(config.guestServices);
  const problems = [
    ...(allow.ok ? [] : [`HELMR_GUEST_ALLOW ${allow.problem}`]),
    ...(services.ok ? [] : [`HELMR_GUEST_SERVICES ${services.problem}`]),
  ];
  if (!allow.ok || !services.ok) throw new ConfigError(problems);
  const facts = new SystemFacts();
  const none = { environment: {}, extraCa: undefined, allow: [], services: [], notes: [] };
  const host = config.guestHostSettings ? await findHostSettings({ facts, environment: process.env }) : none;
  for (const note of host.notes) telemetry("guest.setting", { note });
  const network = new GuestNetwork({ allow: [...allow.value, ...host.allow], services: [...services.value, ...host.services], facts });
  return { network, guest: { environment: host.environment, extraCa: host.extraCa } };
}
