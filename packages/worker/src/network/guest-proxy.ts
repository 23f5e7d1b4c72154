/**
 * Decides about the connections that one guest opens, and makes the allowed ones.
 *
 * Every connection is judged when its turn comes (`opensPerSecond`, with a burst), by the rules of that moment. Sockets are counted per guest
 * and per worker from the attempt to the last byte; beyond the bounds a connection is refused. What sockets have not taken is counted too;
 * the connection that goes beyond the guest's budget is reset, the others go on.
 */
import type { DecisionLog } from "./decision-log.ts";
import type { GuestConnection } from "./guest-connection.ts";
import type { GuestResolver } from "./guest-resolver.ts";
import { DnsStream } from "./dns-stream.ts";
import type { NameRule } from "./destination-rules.ts";
import type { KnownNames } from "./known-names.ts";
import { networkLimits } from "./limits.ts";
import { decideConnection, ruleNames } from "./policy.ts";
import type { DenyReason, Rules } from "./policy.ts";
import { ProxiedConnection } from "./proxied-connection.ts";
import type { ProxiedHome } from "./proxied-connection.ts";
import { TokenBucket } from "./token-bucket.ts";

const dnsPort = 53;

/** Sockets of all guests of this worker. */
export class SocketCount {
  inUse = 0;
}

export interface ProxyCounters {
  opened: number;
  connected: number;
  /** By the policy or a bound. */
  denied: number;
  /** By the destination or the way to it. */
  failed: number;
  bytesIn: number;
  bytesOut: number;
}

export interface ProxyOptions {
  rules: () => Rules;
  names: KnownNames;
  resolver: GuestResolver;
  log: DecisionLog;
  worker: SocketCount;
  heldBytesMax: number;
  /** Monotonic milliseconds. */
  now(): number;
  /** Milliseconds since 1970. */
  clock(): number;
}

export class GuestProxy {
  readonly counters: ProxyCounters = { opened: 0, connected: 0, denied: 0, failed: 0, bytesIn: 0, bytesOut: 0 };
  private readonly options: ProxyOptions;
  private readonly sockets = new Set<ProxiedConnection>();
  private readonly rate: TokenBucket;
  private waiting: GuestConnection[] = [];
  private timer: NodeJS.Timeout | null = null;
  private held = 0;
  private dnsStreams = 0;

  constructor(options: ProxyOptions) {
    this.options = options;
    this.rate = new TokenBucket({ burst: networkLimits.opensBurst, perSecond: networkLimits.opensPerSecond, now: options.now() });
  }

  get heldBytes(): number {
    return this.held;
  }

  get socketCount(): number {
    return this.sockets.size;
  }

  open(connection: GuestConnection): void {
    this.counters.opened += 1;
    this.waiting.push(connection);
    if (!this.timer) this.admit();
  }

  /** The channel is gone: what only flushes is cut off as well. */
  close(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    this.waiting = [];
    for (const socket of this.sockets) socket.abort();
  }

  private admit(): void {
    this.timer = null;
    // Those that the guest gave up meanwhile cost nothing.
    this.waiting = this.waiting.filter((connection) => !connection.isClosed);
    while (this.waiting.length > 0) {
      if (!this.rate.take(this.options.now())) {
        this.timer = setTimeout(() => this.admit(), this.rate.waitMs);
        return;
      }
      const connection = this.waiting.shift();
      if (connection) this.decide(connection);
    }
  }

  private decide(connection: GuestConnection): void {
    const { address, port } = connection;
    if (port === dnsPort) {
      this.serveDns(connection);
      return;
    }
    const names = this.options.names.namesOf(address.text, this.options.now());
    const decision = decideConnection({ address, port, names }, this.options.rules());
    if (decision.verdict === "deny") {
      this.deny(connection, names, decision.reason);
      return;
    }
    if (this.sockets.size >= networkLimits.socketsPerGuest || this.options.worker.inUse >= networkLimits.socketsPerWorker) {
      this.deny(connection, names, "limit");
      return;
    }
    this.options.log.add({ kind: "connection", verdict: "allow", address: address.text, port, names }, this.options.clock());
    this.connect(connection, decision, names);
  }

  private deny(connection: GuestConnection, names: readonly string[], reason: DenyReason): void {
    this.counters.denied += 1;
    const { address, port } = connection;
    this.options.log.add({ kind: "connection", verdict: "deny", reason, address: address.text, port, names }, this.options.clock());
    connection.refused(reason === "limit" ? "unreachable" : "notAllowed");
  }

  private serveDns(connection: GuestConnection): void {
    if (this.dnsStreams >= networkLimits.dnsTcpStreamsPerGuest) {
      this.deny(connection, [], "limit");
      return;
    }
    this.dnsStreams += 1;
    const stream = new DnsStream(connection, this.options.resolver, () => {
      this.dnsStreams -= 1;
    });
    stream.start();
  }

  private connect(
    connection: GuestConnection,
    allowed: { host: string; port: number; serverNames: readonly (readonly NameRule[])[] },
    names: readonly string[],
  ): void {
    const home: ProxiedHome = {
      charge: (bytes) => this.charge(bytes),
      allowsServerName: (name) => {
        const allows = allowed.serverNames.every((rules) => name !== null && rules.some((rule) => ruleNames(rule, name)));
        if (!allows) this.denyServerName(connection, name === null ? names : [name]);
        return allows;
      },
      connected: () => {
        this.counters.connected += 1;
      },
      failed: () => {
        this.counters.failed += 1;
      },
      done: () => {
        this.sockets.delete(socket);
        this.options.worker.inUse -= 1;
      },
      bytes: (direction, count) => {
        if (direction === "in") this.counters.bytesIn += count;
        else this.counters.bytesOut += count;
      },
    };
    this.options.worker.inUse += 1;
    const target = { host: allowed.host, port: allowed.port, checksServerName: allowed.serverNames.length > 0 };
    const socket = new ProxiedConnection(connection, target, home);
    this.sockets.add(socket);
    socket.connect();
  }

  private denyServerName(connection: GuestConnection, names: readonly string[]): void {
    this.counters.denied += 1;
    const { address, port } = connection;
    this.options.log.add(
      { kind: "connection", verdict: "deny", reason: "server_name", address: address.text, port, names },
      this.options.clock(),
    );
  }

  private charge(bytes: number): boolean {
    this.held += bytes;
    if (bytes <= 0 || this.held <= this.options.heldBytesMax) return true;
    // Sockets say when they are empty, not when they are emptier: look again before anybody is cut off.
    for (const socket of this.sockets) socket.recount();
    return this.held <= this.options.heldBytesMax;
  }
}
