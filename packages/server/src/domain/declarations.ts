/**
 * The rules of a project's declarations that the control plane checks itself (http §9.4, §9.5), because the index comes out of a guest that ran
 * the user's code: resources, networks, references, duplicates, policies. Every violation is a sentence for `error.message` of the deployment.
 */
import { createHash } from "node:crypto";
import { isIP } from "node:net";
import type { ProjectIndex } from "@helmr/protocol/guest";
import { canonicalJson, limits, parseDurationMs } from "@helmr/protocol/shared";
import type { RetryPolicy } from "./retry.ts";
import { parseCron } from "./schedule.ts";

export const builtInImage = "helmr/node:24";

export interface Resources {
  milliCpu: number;
  memoryMib: number;
  diskMib: number | null;
}

export interface Network {
  internet: boolean;
  allow?: string[];
  deny?: string[];
}

export interface CheckedSandbox {
  sandboxId: string;
  image: string | null;
  workspacePath: string;
  resources: Resources;
  network: Network;
  fingerprint: string;
}

export interface CheckedTask {
  taskId: string;
  filePath: string;
  modulePath: string;
  exportName: string;
  sandboxId: string;
  queue: string;
  concurrencyLimit: number | null;
  ttl: string | null;
  maxDurationSeconds: number;
  retry: RetryPolicy;
  secrets: ProjectIndex["tasks"][number]["secrets"];
  schedule: { cron: string; timezone: string } | null;
  checkpointPolicy: { onConflict?: "fail" | "fork"; onCheckpointLost?: "fail" | "restart" };
}

export interface CheckedProject {
  sandboxes: CheckedSandbox[];
  tasks: CheckedTask[];
  queues: { name: string; limit: number | null }[];
  streams: ProjectIndex["streams"];
}

export type Checked<T> = { ok: true; value: T } | { ok: false; message: string };

class Violation extends Error {}
const violate = (message: string): never => {
  throw new Violation(message);
};

export function checkProject(index: ProjectIndex): Checked<CheckedProject> {
  try {
    return { ok: true, value: check(index) };
  } catch (error) {
    if (error instanceof Violation) return { ok: false, message: error.message };
    throw error;
  }
}

function check(index: ProjectIndex): CheckedProject {
  for (const image of Object.values(index.images)) checkImageSteps(image);
  const sandboxes = uniqueSandboxes(index);
  const queues = uniqueQueues(index.queues);
  const streams = uniqueStreams(index.streams);
  const seen = new Map<string, string>();
  const tasks = index.tasks.map((task): CheckedTask => {
    const other = seen.get(task.id);
    if (other !== undefined) violate(`duplicate task id "${task.id}": declared in ${other} and ${task.file}`);
    seen.set(task.id, task.file);
    if (!sandboxes.has(task.sandbox)) violate(`task "${task.id}" references undefined sandbox "${task.sandbox}"`);
    if (task.queue !== undefined && !queues.has(task.queue)) violate(`task "${task.id}" references undefined queue "${task.queue}"`);
    if (task.ttl !== undefined && parseDurationMs(task.ttl) === undefined)
      violate(`task "${task.id}": ttl "${task.ttl}" is not a duration such as 90s or 1h30m`);
    checkSecrets(task);
    checkSchedule(task);
    const queue = task.queue ?? `task/${task.id}`;
    return {
      taskId: task.id,
      filePath: task.file,
      modulePath: task.module,
      exportName: task.exportName,
      sandboxId: task.sandbox,
      queue,
      concurrencyLimit: queues.get(queue) ?? null,
      ttl: task.ttl ?? null,
      maxDurationSeconds: task.maxDurationSeconds ?? limits.runDurationSecondsDefault,
      retry: checkRetry(task.id, task.retry),
      secrets: task.secrets,
      schedule: task.schedule ?? null,
      checkpointPolicy: {
        ...(task.onConflict === undefined ? {} : { onConflict: task.onConflict }),
        ...(task.onCheckpointLost === undefined ? {} : { onCheckpointLost: task.onCheckpointLost }),
      },
    };
  });
  // The implicit queue of a task is declared by the task, so that a start may name it.
  for (const task of tasks) if (!queues.has(task.queue)) queues.set(task.queue, null);
  return { sandboxes: [...sandboxes.values()], tasks, queues: [...queues].map(([name, limit]) => ({ name, limit })), streams };
}

function checkSchedule(task: ProjectIndex["tasks"][number]): void {
  if (!task.schedule) return;
  const parsed = parseCron(task.schedule.cron, task.schedule.timezone);
  if (!parsed.ok) violate(`task "${task.id}": ${parsed.problem}`);
}

function uniqueSandboxes(index: ProjectIndex): Map<string, CheckedSandbox> {
  const sandboxes = new Map<string, CheckedSandbox>();
  for (const declared of index.sandboxes) {
    if (declared.image !== undefined && !(declared.image in index.images))
      violate(`sandbox "${declared.id}" references undefined image "${declared.image}"`);
    const network = checkNetwork(declared.id, declared.network);
    const workspacePath = checkWorkspacePath(declared.id, declared.workspacePath);
    const sandbox: CheckedSandbox = {
      sandboxId: declared.id,
      image: declared.image ?? null,
      workspacePath,
      resources: checkResources(declared.id, declared.resources),
      network,
      fingerprint: sandboxFingerprint(declared.id, network, workspacePath),
    };
    const other = sandboxes.get(declared.id);
    if (other && canonicalJson(other) !== canonicalJson(sandbox)) violate(`sandbox "${declared.id}" has conflicting definitions`);
    sandboxes.set(declared.id, sandbox);
  }
  return sandboxes;
}

/** Resources and image are not part of it, so that a workspace survives image changes. */
export function sandboxFingerprint(sandboxId: string, network: Network, mountPath: string): string {
  const stable = canonicalJson({
    contract_version: 1,
    filesystem_format: "tar",
    network,
    sandbox_id: sandboxId,
    workspace: { mount_path: mountPath },
  });
  return createHash("sha256").update(stable).digest("hex");
}

const reservedPaths = ["/dev", "/opt/helmr", "/proc", "/run", "/sys", "/tmp", "/.helmr-old-root"];

function checkWorkspacePath(sandbox: string, path: string): string {
  const normal = `/${path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/")}`;
  const wrong = (why: string) => violate(`sandbox "${sandbox}": workspace path "${path}" ${why}`);
  if (!path.startsWith("/")) wrong("must be absolute");
  if (path.includes("\0") || path.split("/").includes("..")) wrong("must not contain NUL or ..");
  if (normal === "/") wrong("must not be /");
  const reserved = reservedPaths.find((prefix) => normal === prefix || normal.startsWith(`${prefix}/`));
  if (reserved) wrong(`must not be at or below ${reserved}`);
  return normal;
}

function uniqueQueues(declared: ProjectIndex["queues"]): Map<string, number | null> {
  const queues = new Map<string, number | null>();
  for (const { id, concurrencyLimit } of declared) {
    const other = queues.get(id);
    if (other !== undefined && other !== concurrencyLimit)
      violate(`queue "${id}" has two limits: ${other ?? "none"} and ${concurrencyLimit ?? "none"}`);
    queues.set(id, concurrencyLimit);
  }
  return queues;
}

function uniqueStreams(declared: ProjectIndex["streams"]): ProjectIndex["streams"] {
  const streams = new Map<string, ProjectIndex["streams"][number]>();
  for (const stream of declared) {
    const key = `${stream.direction} ${stream.name}`;
    const other = streams.get(key);
    if (other && other.fingerprint !== stream.fingerprint)
      violate(`${stream.direction} stream "${stream.name}" has a conflicting deployment catalog schema`);
    streams.set(key, stream);
  }
  return [...streams.values()];
}

function checkSecrets(task: ProjectIndex["tasks"][number]): void {
  const names = new Set<string>();
  for (const secret of task.secrets) {
    if (names.has(secret.name)) violate(`task "${task.id}" declares secret "${secret.name}" twice`);
    names.add(secret.name);
    const placements = [secret.env, secret.file, secret.dir].filter((placement) => placement !== undefined);
    if (placements.length !== 1) violate(`task "${task.id}": secret "${secret.name}" needs exactly one of env, file and dir`);
    if (secret.env?.startsWith("LD_")) violate(`task "${task.id}": secret "${secret.name}" must not be placed in ${secret.env}`);
  }
}

function checkImageSteps(image: ProjectIndex["images"][string]): void {
  for (const step of image.steps) {
    if (step.kind === "run" && step.caches.length > 0 && step.secrets.length > 0) {
      violate(`image "${image.id}": a run step cannot have a cache mount together with a secret mount`);
    }
  }
}

/** sdk §2.4; unknown keys are refused here, unlike in a session start. */
function checkRetry(task: string, value: unknown): RetryPolicy {
  if (value === undefined || value === null) return { enabled: false };
  const wrong = (what: string) => violate(`task "${task}": retry ${what}`);
  if (typeof value !== "object" || Array.isArray(value)) return wrong("must be an object");
  const policy = value as Record<string, unknown>;
  onlyKeys(policy, ["enabled", "maxAttempts", "backoff"], wrong);
  if (policy["enabled"] === false) return { enabled: false };
  const { maxAttempts, backoff } = policy;
  if (!isInteger(maxAttempts, 1, 10)) return wrong("needs maxAttempts, an integer from 1 to 10");
  if (backoff === undefined) return { enabled: true, maxAttempts };
  if (typeof backoff !== "object" || backoff === null) return wrong("backoff must be an object");
  const { minMs, maxMs, factor, jitter } = backoff as Record<string, unknown>;
  onlyKeys(backoff as Record<string, unknown>, ["minMs", "maxMs", "factor", "jitter"], wrong);
  const max = 2_147_483_647;
  if (minMs !== undefined && !isInteger(minMs, 1, max)) return wrong("backoff.minMs must be a positive integer");
  if (maxMs !== undefined && !isInteger(maxMs, 1, max)) return wrong("backoff.maxMs must be a positive integer");
  if (factor !== undefined && !(typeof factor === "number" && factor > 0 && Number.isFinite(factor)))
    return wrong("backoff.factor must be greater than zero");
  if (jitter !== undefined && jitter !== "none" && jitter !== "full") return wrong('backoff.jitter must be "none" or "full"');
  return {
    enabled: true,
    maxAttempts,
    backoff: { ...(minMs && { minMs }), ...(maxMs && { maxMs }), ...(factor && { factor }), ...(jitter && { jitter }) },
  };
}

function onlyKeys(value: Record<string, unknown>, known: string[], wrong: (what: string) => unknown): void {
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) wrong(`has the unknown key "${unknown}"`);
}

function isInteger(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

const defaultResources = { milliCpu: 2_000, memoryMib: 2_048 } as const;

function checkResources(sandbox: string, given: { cpu?: unknown; memory?: unknown; disk?: unknown }): Resources {
  const wrong = (what: string, value: unknown, rule: string) => violate(`sandbox "${sandbox}": ${what} ${JSON.stringify(value)} ${rule}`);
  const cpu = given.cpu ?? undefined;
  if (cpu !== undefined && !isInteger(cpu, 1, 1_024)) wrong("cpu", cpu, "must be an integer number of cores");
  const size = (what: string, value: unknown): number | null => {
    if (value === undefined || value === null) return null;
    return parseMib(value) ?? wrong(what, value, "must be whole MiB, such as 512Mi, 4Gi or a number of MiB");
  };
  return {
    milliCpu: cpu === undefined ? defaultResources.milliCpu : (cpu as number) * 1_000,
    memoryMib: size("memory", given.memory) ?? defaultResources.memoryMib,
    diskMib: size("disk", given.disk),
  };
}

const unitKib: Readonly<Record<string, number>> = { ki: 1, kib: 1, mi: 1_024, mib: 1_024, gi: 1_048_576, gib: 1_048_576 };
const sizeMibMax = 16 * 1_024 * 1_024;

/** `undefined` when it is no whole number of MiB greater than zero. */
export function parseMib(value: unknown): number | undefined {
  if (typeof value === "number") return isInteger(value, 1, sizeMibMax) ? value : undefined;
  const match = typeof value === "string" ? /^(\d{1,12})\s*(kib?|mib?|gib?)?$/i.exec(value.trim()) : null;
  if (!match) return undefined;
  const mib = (Number(match[1]) * (match[2] === undefined ? 1_024 : (unitKib[match[2].toLowerCase()] as number))) / 1_024;
  return isInteger(mib, 1, sizeMibMax) ? mib : undefined;
}

function checkNetwork(sandbox: string, given: { internet: boolean; allow?: string[]; deny?: string[] }): Network {
  const entries = (name: string, list: string[] | undefined, valid: (entry: string) => boolean, what: string) => {
    const trimmed = (list ?? []).map((entry) => entry.trim());
    const bad = trimmed.find((entry) => !valid(entry));
    if (bad !== undefined) violate(`sandbox "${sandbox}": network ${name} entry ${JSON.stringify(bad)} is not ${what}`);
    return trimmed;
  };
  const allow = entries(
    "allow",
    given.allow,
    (entry) => isDomain(entry) || isAddressOrRange(entry),
    "a domain, a *.domain wildcard, an IP address or a CIDR",
  );
  const deny = entries("deny", given.deny, isRange, "a CIDR");
  return { internet: given.internet, ...(allow.length > 0 && { allow }), ...(deny.length > 0 && { deny }) };
}

const domainLabel = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i;

function isDomain(text: string): boolean {
  const name = text.startsWith("*.") ? text.slice(2) : text;
  const labels = name.split(".");
  return name.length <= 253 && labels.every((label) => domainLabel.test(label)) && !/^\d+$/.test(labels.at(-1) ?? "");
}

function isRange(text: string): boolean {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const family = match ? isIP(match[1] as string) : 0;
  return family !== 0 && Number(match?.[2]) <= (family === 4 ? 32 : 128);
}

function isAddressOrRange(text: string): boolean {
  return isIP(text) !== 0 || isRange(text);
}
