/**
 * The network of this worker's guests: one `GuestNetwork` per worker, one `ServedGuest` per machine.
 *
 * It serves one network stream (vm/driver.ts `Machine.network`) from start to end and needs no care: it ends when the stream ends, and `close`
 * ends it early. A machine that is resumed, or taken over after a restart of the worker, is served anew on its new stream; its relay
 * has reset every connection of before (SYNC).
 */
import type { Duplex } from "node:stream";
import { dnsMessageBytesMax } from "@helmr/protocol/guest";
import type { NetworkPolicy } from "@helmr/protocol/worker";
import { assert } from "../assert.ts";
import { GuestChannel } from "./channel.ts";
import type { ChannelEnd } from "./channel.ts";
import { DecisionLog } from "./decision-log.ts";
import type { NetworkDecision } from "./decision-log.ts";
import { parseGuestRules } from "./destination-rules.ts";
import type { AllowList, GuestRules, HostService, Parsed } from "./destination-rules.ts";
import { DnsUpstream } from "./dns-upstream.ts";
import { GuestProxy, SocketCount } from "./guest-proxy.ts";
import type { ProxyCounters } from "./guest-proxy.ts";
import { GuestResolver } from "./guest-resolver.ts";
import { SystemFacts } from "./host-facts.ts";
import type { HostFacts } from "./host-facts.ts";
import { KnownNames } from "./known-names.ts";
import { networkLimits } from "./limits.ts";
import type { Rules } from "./policy.ts";

export interface GuestNetworkOptions {
  /** The operator's allow-list (`parseAllowList`). */
  allow: AllowList;
  /** Services of this host for guests (`parseHostServices`). */
  services: readonly HostService[];
  /** Another host's facts, for tests. */
  facts?: HostFacts;
  /** Of guests that were given to `attach`. */
  onDecision?(leaseId: string, decision: NetworkDecision): void;
  onEnded?(leaseId: string, end: ChannelEnd, counters: NetworkCounters): void;
  heldBytesPerGuest?: number;
}

export interface ServeOptions {
  stream: Duplex;
  /** The sandbox's rules as the lease has them. */
  policy: NetworkPolicy;
  onDecision?(decision: NetworkDecision): void;
}

export interface NetworkCounters extends ProxyCounters {
  questions: number;
  connections: number;
  /** Of connections, and of those that the guest has finished and whose last bytes are on their way. */
  sockets: number;
  heldBytes: number;
}

export interface ServedGuest {
  /** Resolves once, never rejects. A `violation` means that the guest has no network any more; the machine may go on. */
  readonly ended: Promise<ChannelEnd>;
  counters(): NetworkCounters;
  /** Resets every connection and destroys the stream. Idempotent. */
  close(): void;
}

const now = () => performance.now();

export class GuestNetwork {
  private readonly options: GuestNetworkOptions;
  private readonly facts: HostFacts;
  private readonly upstream: DnsUpstream;
  private readonly sockets = new SocketCount();

  constructor(options: GuestNetworkOptions) {
    this.options = options;
    this.facts = options.facts ?? new SystemFacts();
    this.upstream = new DnsUpstream(() => this.facts.nameServers());
  }

  /** The port of the run loop (host/network-peer.ts). The control plane has checked the rules when it built the deployment. */
  attach(channel: Duplex, policy: NetworkPolicy, extra: { leaseId: string }): { close(): void } {
    const onDecision = (decision: NetworkDecision) => this.options.onDecision?.(extra.leaseId, decision);
    const served = this.serve({ stream: channel, policy, onDecision });
    assert(served.ok, served.ok ? "" : served.problem);
    void served.value.ended.then((end) => this.options.onEnded?.(extra.leaseId, end, served.value.counters()));
    return served.value;
  }

  /** Refuses rules that cannot be read; nothing of the stream is used then. */
  serve(options: ServeOptions): Parsed<ServedGuest> {
    const guest = parseGuestRules(options.policy);
    return guest.ok ? { ok: true, value: this.start(options, guest.value) } : guest;
  }

  private start(options: ServeOptions, guest: GuestRules): ServedGuest {
    const names = new KnownNames();
    const log = new DecisionLog((decision) => options.onDecision?.(decision), Date.now());
    const rules = (): Rules => ({
      guest,
      host: { allow: this.options.allow, services: this.options.services, ownAddresses: this.facts.ownAddresses() },
    });
    const resolver = new GuestResolver({
      rules,
      names,
      now,
      facts: this.facts,
      upstream: this.upstream,
      onDecision: (name, reason) =>
        log.add(reason === null ? { kind: "name", verdict: "allow", name } : { kind: "name", verdict: "deny", name, reason }, Date.now()),
    });
    const heldBytesMax = this.options.heldBytesPerGuest ?? networkLimits.heldBytesPerGuest;
    const proxy = new GuestProxy({ rules, names, resolver, log, worker: this.sockets, heldBytesMax, now, clock: Date.now });
    return serveStream(options.stream, proxy, resolver);
  }
}

function serveStream(stream: Duplex, proxy: GuestProxy, resolver: GuestResolver): ServedGuest {
  const { promise: ended, resolve } = Promise.withResolvers<ChannelEnd>();
  const channel = new GuestChannel(stream, {
    open: (connection) => proxy.open(connection),
    query: (id, message, epoch) => {
      void resolver.answer(message, dnsMessageBytesMax).then((answer) => answer && channel.answer(id, answer, epoch));
    },
    ended: (end) => {
      proxy.close();
      resolve(end);
    },
  });
  return {
    ended,
    counters: () => ({
      ...proxy.counters,
      questions: resolver.questions,
      connections: channel.connectionCount,
      sockets: proxy.socketCount,
      heldBytes: proxy.heldBytes,
    }),
    close: () => channel.close(),
  };
}
