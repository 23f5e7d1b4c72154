/**
 * What was allowed and refused, for the run's timeline. The first of its kind is reported at once; the same again is counted, and the count
 * comes with the next report after `decisionRepeatMs`. Different ones are reported at a rate; what goes beyond is counted as `missed`. Bounded,
 * whatever a guest tries.
 */
import type { DenyReason } from "./policy.ts";
import { networkLimits } from "./limits.ts";
import { TokenBucket } from "./token-bucket.ts";

export type NetworkDecision = {
  /** Milliseconds since 1970. */
  at: number;
  /** Equal decisions since the last report of this one that were not reported. */
  repeats: number;
  /** Other decisions since the last report that were too many to be reported. */
  missed: number;
} & ({ verdict: "allow" } | { verdict: "deny"; reason: DenyReason; sentence: string }) &
  ({ kind: "connection"; address: string; port: number; names: readonly string[] } | { kind: "name"; name: string });

type Undated = NetworkDecision extends infer D
  ? D extends NetworkDecision
    ? Omit<D, "at" | "repeats" | "missed" | "sentence">
    : never
  : never;

export class DecisionLog {
  private readonly reported = new Map<string, { since: number; repeats: number }>();
  private readonly report: (decision: NetworkDecision) => void;

  private readonly rate: TokenBucket;
  private missed = 0;

  constructor(report: (decision: NetworkDecision) => void, now: number) {
    this.report = report;
    this.rate = new TokenBucket({ burst: networkLimits.decisionsBurst, perSecond: networkLimits.decisionsPerSecond, now });
  }

  add(decision: Undated, now: number): void {
    const subject = decision.kind === "name" ? decision.name : `${decision.address} ${decision.port}`;
    const key = `${decision.kind} ${subject} ${decision.verdict === "deny" ? decision.reason : ""}`;
    const earlier = this.reported.get(key);
    if (earlier && now - earlier.since < networkLimits.decisionRepeatMs) {
      earlier.repeats += 1;
      return;
    }
    this.reported.delete(key);
    this.reported.set(key, { since: now, repeats: 0 });
    for (const oldest of this.reported.keys()) {
      if (this.reported.size <= networkLimits.decisionsRemembered) break;
      this.reported.delete(oldest);
    }
    if (!this.rate.take(now)) {
      this.missed += 1;
      return;
    }
    const dated = { ...decision, at: now, repeats: earlier?.repeats ?? 0, missed: this.missed };
    this.missed = 0;
    this.report(dated.verdict === "deny" ? { ...dated, sentence: sentenceFor(dated.reason) } : dated);
  }
}

const sentences = {
  internet_disabled: "The sandbox has no network (internet: false).",
  denied_range: "The destination is in the sandbox's deny list.",
  not_in_allow_list: "The destination is not in the sandbox's allow list.",
  private: "The destination is a private network; the operator's allow-list does not open it.",
  host_address: "The destination is this host itself; the operator's allow-list does not open it.",
  loopback: "The destination is the host's loopback.",
  link_local: "The destination is a link-local address.",
  metadata: "The destination is a metadata service.",
  multicast: "The destination is a multicast or broadcast address.",
  reserved: "The destination is in a reserved range; the operator's allow-list does not open it.",
  unspecified: "The destination is the unspecified address.",
  server_name: "The server name of the TLS connection is not allowed at this address.",
  bad_destination: "The destination has no port.",
  limit: "The guest has too many connections.",
} as const satisfies Record<DenyReason, string>;

export function sentenceFor(reason: DenyReason): string {
  return sentences[reason];
}
