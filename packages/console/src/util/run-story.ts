/**
 * What a run's events tell, kept small: log events are only marks of the attempt they belong to, because a busy run has thousands. From it comes the
 * waterfall. Events name an attempt but none says that it started, so the first sign of an attempt counts as its start.
 */
import type { Run, RunEvent } from "@helmr/protocol/api";

export interface RunStory {
  events: RunEvent[];
  logEvents: number;
  /** First and last sign of each attempt, by number. */
  signs: ReadonlyMap<number, { first: number; last: number }>;
}

export const emptyStory: RunStory = { events: [], logEvents: 0, signs: new Map() };

const logKinds = new Set(["log", "log.stdout", "log.stderr"]);
/** What is said about an attempt before it runs is no sign of it. */
const notSigns = new Set(["run.created", "run.retry_scheduled"]);

export function addEvents(story: RunStory, added: readonly RunEvent[]): RunStory {
  const signs = new Map(story.signs);
  const events = [...story.events];
  let { logEvents } = story;
  let last = Number(events.at(-1)?.id ?? 0);
  for (const event of added) {
    const isLog = logKinds.has(event.kind);
    if (isLog) logEvents += 1;
    else if (Number(event.id) > last) {
      events.push(event);
      last = Number(event.id);
    }
    if (event.attempt_number === undefined || notSigns.has(event.kind)) continue;
    const at = Date.parse(event.at);
    const sign = signs.get(event.attempt_number);
    signs.set(event.attempt_number, { first: Math.min(sign?.first ?? at, at), last: Math.max(sign?.last ?? at, at) });
  }
  return { events, logEvents, signs };
}

export type Tone = "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled" | "expired";

export interface Span {
  key: string;
  label: string;
  detail: string;
  depth: 0 | 1;
  tone: Tone;
  from: number;
  /** Absent while it goes on. */
  to: number | undefined;
}

const endTones: Record<string, Tone> = {
  "run.completed": "succeeded",
  "run.failed": "failed",
  "run.cancelled": "cancelled",
  "run.expired": "expired",
  "run.dead_lettered": "failed",
};

export function isTerminalKind(kind: string): boolean {
  return kind in endTones;
}

interface Attempt {
  number: number;
  queuedFrom: number;
  start: number | undefined;
  to: number | undefined;
  tone: Tone;
}

export function spansOf(story: RunStory, run: Run): Span[] {
  const attempts = attemptsOf(story, run);
  const spans: Span[] = [];
  for (const attempt of attempts) {
    const { number, queuedFrom, start, to, tone } = attempt;
    if (start === undefined || start > queuedFrom)
      spans.push({
        key: `queue-${number}`,
        label: number === 1 ? "Queued" : `Queued again`,
        detail: number === 1 ? "before the first attempt" : `before attempt ${number}`,
        depth: 0,
        tone: start === undefined && to !== undefined ? tone : "queued",
        from: queuedFrom,
        to: start ?? to,
      });
    if (start === undefined) continue;
    spans.push({ key: `attempt-${number}`, label: `Attempt ${number}`, detail: attemptDetail(tone), depth: 0, tone, from: start, to });
    spans.push(...waitsOf(story, { ...attempt, start }));
  }
  return spans;
}

function attemptDetail(tone: Tone): string {
  return tone === "running" ? "running" : tone === "waiting" ? "parked: its machine is free" : tone;
}

function attemptsOf({ events, signs }: RunStory, run: Run): Attempt[] {
  const created = Date.parse(events.find(({ kind }) => kind === "run.created")?.at ?? run.created_at);
  const end = events.find(({ kind }) => isTerminalKind(kind));
  const endAt = end ? Date.parse(end.at) : undefined;
  const count = Math.max(1, run.attempt_number ?? 1, ...signs.keys());
  const attempts: Attempt[] = [];
  let queuedFrom = created;
  for (let number = 1; number <= count; number += 1) {
    const retry = events.find((event) => event.kind === "run.retry_scheduled" && member(event, "previous_attempt_number") === number);
    const to = retry ? Date.parse(retry.at) : endAt;
    const alive = to === undefined && (run.status === "running" || run.status === "waiting");
    const ended = to !== undefined && number <= (run.attempt_number ?? 0);
    const sign = signs.get(number)?.first ?? (alive ? Date.parse(run.updated_at) : ended ? queuedFrom : undefined);
    const tone = retry ? "failed" : end ? (endTones[end.kind] ?? "failed") : run.status === "waiting" ? "waiting" : "running";
    attempts.push({ number, queuedFrom, start: sign, to, tone });
    queuedFrom = to ?? queuedFrom;
  }
  return attempts;
}

function waitsOf({ events }: RunStory, attempt: Attempt & { start: number }): Span[] {
  return events.flatMap((event): Span[] => {
    const id = member(event, "run_wait_id");
    const at = Date.parse(event.at);
    if (event.kind !== "run_wait.created" || typeof id !== "string" || at < attempt.start || at > (attempt.to ?? Infinity)) return [];
    const end = events.find(({ kind, ...other }) => kind !== "run_wait.created" && member(other, "run_wait_id") === id);
    const to = end ? Date.parse(end.at) : attempt.to;
    const detail = end?.kind === "run_wait.timed_out" ? "timed out" : end ? "answered" : to === undefined ? "waiting" : "cancelled";
    return [
      { key: `wait-${id}`, label: waitLabel(event), detail, depth: 1, tone: detail === "timed out" ? "expired" : "waiting", from: at, to },
    ];
  });
}

/** `Token`, `Input approvals`, `Timer 5 min`, from the attributes of run_wait.created or a pending wait. */
export function waitLabel({ attributes }: Pick<RunEvent, "attributes">): string {
  const kind = member({ attributes }, "kind");
  const params = member({ attributes }, "params");
  const stream = member({ attributes: params }, "stream");
  if (kind === "stream") return typeof stream === "string" ? `Input ${stream}` : "Input";
  return kind === "token" ? "Token" : kind === "timer" ? "Timer" : "Wait";
}

/** The same as a sentence: `waits for a token`, `waits for input on approvals`, `sleeps`. */
export function waitText({ kind, params }: { kind?: string | undefined; params?: unknown }): string {
  const stream = member({ attributes: params }, "stream");
  if (kind === "stream") return typeof stream === "string" ? `waits for input on ${stream}` : "waits for input";
  return kind === "token" ? "waits for an answer" : kind === "timer" ? "sleeps" : "waits";
}

export function member({ attributes }: { attributes?: unknown }, name: string): unknown {
  return typeof attributes === "object" && attributes !== null ? (attributes as Record<string, unknown>)[name] : undefined;
}
