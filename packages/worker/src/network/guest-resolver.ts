/**
 * Answers the DNS questions of one guest.
 *
 *   1. what is broken, not a plain question, or of a kind that is not passed on gets an error at once
 *   2. localhost, services of the host, and names that the policy closes are answered here; a closed name does not exist for the guest
 *      (NXDOMAIN, which programs take as final; REFUSED would make them try again), and an extended error says why
 *   3. addresses: the host's table of names, the system's resolver for names that the operator listed, else the host's name servers.
 *      Addresses that the guest could not connect to are left out, the others are remembered as this name's (known-names.ts)
 *   4. everything else is asked of the host's name servers and passed on without the additional records, which nobody asked for
 *
 * Names are absolute: the search list of the host is not the guest's. Reverse questions for addresses that the guest may not reach do not
 * leave the host. Answers are kept for their time to live, 5 minutes at most. Bounded: questions under way, their rate, and the cache.
 *
 * A task with names only in its allow-list can ask for nothing else, so names cannot carry data out. With addresses or ranges in that list
 * other names must be looked up to see where they lead.
 */
import { encodeAnswer, extendedErrors, parseQuestion, recordTypes, responseCodes } from "./dns-message.ts";
import type { Answer, Question, ServerAnswer } from "./dns-message.ts";
import type { DnsUpstream } from "./dns-upstream.ts";
import type { HostFacts } from "./host-facts.ts";
import { isBelow } from "./host-name.ts";
import { makeAddress, parseAddress } from "./ip-address.ts";
import type { IpAddress } from "./ip-address.ts";
import type { KnownNames } from "./known-names.ts";
import { networkLimits } from "./limits.ts";
import { decideAnswer, decideConnection, decideName } from "./policy.ts";
import type { DenyReason, Rules } from "./policy.ts";
import { sentenceFor } from "./decision-log.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface ResolverOptions {
  rules: () => Rules;
  facts: HostFacts;
  upstream: Pick<DnsUpstream, "query">;
  names: KnownNames;
  onDecision(name: string, reason: DenyReason | null): void;
  /** Monotonic milliseconds. */
  now(): number;
}

interface Cached {
  until: number;
  answer: ServerAnswer;
}

export class GuestResolver {
  private readonly options: ResolverOptions;
  private readonly cache = new Map<string, Cached>();
  private readonly underWay = new Map<string, Promise<ServerAnswer | "failed">>();
  private readonly rate: TokenBucket;
  private inFlight = 0;
  questions = 0;

  constructor(options: ResolverOptions) {
    this.options = options;
    this.rate = new TokenBucket({ burst: networkLimits.dnsBurst, perSecond: networkLimits.dnsPerSecond, now: options.now() });
  }

  /** Never rejects. `null`: the message deserves no answer. */
  async answer(message: Buffer, bytesMax: number): Promise<Buffer | null> {
    this.questions += 1;
    const parsed = parseQuestion(message);
    if (parsed.status === "drop") return null;
    if (parsed.status === "refuse") return encodeAnswer(parsed.question, { code: parsed.code }, bytesMax);
    const { question } = parsed;
    if (this.inFlight >= networkLimits.dnsInFlightPerGuest || !this.rate.take(this.options.now()))
      return encodeAnswer(question, failure, bytesMax);
    this.inFlight += 1;
    try {
      return encodeAnswer(question, await this.decide(question), bytesMax);
    } finally {
      this.inFlight -= 1;
    }
  }

  private async decide(question: Question): Promise<Answer> {
    const { name, type } = question;
    if (name === undefined || isSpecialUse(name)) return { code: responseCodes.noSuchName };
    if (isMeta(type)) return { code: responseCodes.refused };
    if (name === "localhost" || isBelow(name, "localhost")) return localhost(type);
    const isAddress = type === recordTypes.a || type === recordTypes.aaaa;
    const rules = this.options.rules();
    const decision = decideName(name, rules, { addressQuestion: isAddress });
    if (decision.verdict === "deny") {
      // The name exists when its addresses may be asked for; only this kind of record does not.
      const known = !isAddress && decideName(name, rules, { addressQuestion: true }).verdict !== "deny";
      return known ? { code: responseCodes.ok } : this.refuse(name, decision.reason);
    }
    if (decision.verdict === "service") return this.serviceAnswer(name, type, decision.address);
    if (isAddress) return this.addressAnswer(name, type);
    const reversed = addressInReverseName(name);
    if (reversed) {
      const reachable = decideConnection({ address: reversed, port: null, names: [] }, rules);
      if (reachable.verdict === "deny") return this.refuse(name, reachable.reason);
    }
    const answer = await this.ask(name, type);
    return answer === "failed" ? failure : { code: answer.code, passed: answer.passed };
  }

  private refuse(name: string, reason: DenyReason): Answer {
    this.options.onDecision(name, reason);
    return { code: responseCodes.noSuchName, extendedError: { code: extendedErrors.prohibited, text: sentenceFor(reason) } };
  }

  private serviceAnswer(name: string, type: number, address: IpAddress): Answer {
    if (type !== recordTypes.a) return { code: responseCodes.ok };
    return this.reachable(name, [address], networkLimits.dnsLocalTtlSeconds);
  }

  private async addressAnswer(name: string, type: number): Promise<Answer> {
    const family = type === recordTypes.a ? 4 : 6;
    const local = await this.localAddresses(name);
    if (local.length > 0) {
      const ofFamily = local.filter((address) => address.family === family);
      return this.reachable(name, ofFamily, networkLimits.dnsLocalTtlSeconds);
    }
    const answer = await this.ask(name, type);
    if (answer === "failed") return failure;
    if (answer.addresses.length === 0) return { code: answer.code };
    return this.reachable(name, answer.addresses, answer.ttl);
  }

  /** From the host itself, without a question to a name server. */
  private async localAddresses(name: string): Promise<readonly IpAddress[]> {
    const { facts, rules } = this.options;
    const listed = (await facts.hosts()).get(name);
    if (listed) return listed;
    const isOperators = rules().host.allow.some((rule) => rule.kind === "name" && rule.name === name);
    return isOperators ? facts.lookUp(name) : [];
  }

  private reachable(name: string, addresses: readonly IpAddress[], ttl: number): Answer {
    const rules = this.options.rules();
    const open: IpAddress[] = [];
    let reason: DenyReason | null = null;
    for (const address of addresses) {
      // A connection in the guest is accepted before its destination is tried, so a program would not fall back to IPv4.
      if (address.family === 6 && !this.options.facts.hasIpv6()) continue;
      const decision = decideAnswer(name, address, rules);
      if (decision.verdict === "allow") open.push(address);
      else reason ??= decision.reason;
    }
    if (open.length === 0 && reason !== null) {
      this.options.onDecision(name, reason);
      return { code: responseCodes.ok, extendedError: { code: extendedErrors.filtered, text: sentenceFor(reason) } };
    }
    const freshUntil = this.options.now() + ttl * 1000 + networkLimits.nameFreshMs;
    this.options.names.remember(
      name,
      open.map((address) => address.text),
      freshUntil,
    );
    if (open.length > 0) this.options.onDecision(name, null);
    return { code: responseCodes.ok, addresses: open, ttl };
  }

  /** One question to the name servers at a time per name and type. */
  private ask(name: string, type: number): Promise<ServerAnswer | "failed"> {
    const key = `${type} ${name}`;
    const cached = this.cache.get(key);
    const left = cached ? Math.ceil((cached.until - this.options.now()) / 1000) : 0;
    if (cached && left > 0) return Promise.resolve({ ...cached.answer, ttl: left });
    const running = this.underWay.get(key);
    if (running) return running;
    const asked = this.askServers(name, type, key).finally(() => this.underWay.delete(key));
    this.underWay.set(key, asked);
    return asked;
  }

  private async askServers(name: string, type: number, key: string): Promise<ServerAnswer | "failed"> {
    const outcome = await this.options.upstream.query(name, type);
    if (outcome.status === "failed" || outcome.answer.truncated) return "failed";
    const { answer } = outcome;
    if (answer.code !== responseCodes.ok && answer.code !== responseCodes.noSuchName) return answer;
    // Long answers are rare; keeping them would make the cache's bound a loose one.
    if (answer.passed.bytes.length > 4096) return answer;
    this.cache.delete(key);
    this.cache.set(key, { until: this.options.now() + answer.ttl * 1000, answer });
    for (const oldest of this.cache.keys()) {
      if (this.cache.size <= networkLimits.dnsCacheEntries) break;
      this.cache.delete(oldest);
    }
    return answer;
  }
}

const failure: Answer = {
  code: responseCodes.serverFailure,
  extendedError: { code: extendedErrors.networkError, text: "The host's name servers did not answer." },
};

function localhost(type: number): Answer {
  const address = type === recordTypes.a ? parseAddress("127.0.0.1") : type === recordTypes.aaaa ? parseAddress("::1") : undefined;
  return { code: responseCodes.ok, addresses: address ? [address] : [], ttl: networkLimits.dnsLocalTtlSeconds };
}

/** Names that are never asked of a name server (RFC 6761, 7686). `local` and `test` are in use inside companies. */
function isSpecialUse(name: string): boolean {
  return ["onion", "invalid"].some((suffix) => name === suffix || isBelow(name, suffix));
}

/** Questions about messages, zones or everything: none that a program in a guest has. */
function isMeta(type: number): boolean {
  return type === 0 || type === recordTypes.opt || (type >= 128 && type <= 255);
}

/** `4.3.2.1.in-addr.arpa`, and its longer cousin for IPv6. */
function addressInReverseName(name: string): IpAddress | undefined {
  const labels = name.split(".").reverse();
  if (labels[0] !== "arpa") return undefined;
  const digits = labels.slice(2);
  if (labels[1] === "in-addr" && digits.length === 4) return parseAddress(digits.join("."));
  if (labels[1] !== "ip6" || digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined;
  return makeAddress(6, BigInt(`0x${digits.join("")}`));
}
