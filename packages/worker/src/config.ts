/**
 * The only reader of the environment (house §5). One table says each setting's name, parser, default, whether it is secret, and what it is for; all
 * problems are reported at once and the result is total and frozen. What is not for operators to tune is a constant in `limits.ts`.
 */
import { cpus, hostname, totalmem } from "node:os";
import { join } from "node:path";
import { parseMirrors, parseRegistries } from "./images/registry/endpoints.ts";
import type { LogLevel } from "./telemetry.ts";

type Parsed<T> = { ok: true; value: T } | { ok: false; problem: string };

export interface Setting<T> {
  name: string;
  parse: (text: string) => Parsed<T>;
  /** `undefined`: it must be given. */
  default: T | undefined;
  secret: boolean;
  doc: string;
}

export class ConfigError extends Error {
  override name = "ConfigError";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length === 1 ? "a problem" : `${problems.length} problems`}:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`,
    );
    this.problems = problems;
  }
}

const required = undefined;

function setting<T>(name: string, parse: Setting<T>["parse"], fallback: T | undefined, doc: string): Setting<T> {
  return { name, parse, default: fallback, secret: false, doc };
}

function secret<T>(plain: Setting<T>): Setting<T> {
  return { ...plain, secret: true };
}

const text = (value: string): Parsed<string> => ({ ok: true, value });

function integer(min: number, max: number): Setting<number>["parse"] {
  return (value) => {
    const number = Number(value);
    return /^\d+$/.test(value) && number >= min && number <= max
      ? { ok: true, value: number }
      : { ok: false, problem: `must be an integer from ${min} to ${max}, not "${value}"` };
  };
}

const flag: Setting<boolean>["parse"] = (value) => {
  if (value === "1" || value === "true") return { ok: true, value: true };
  if (value === "0" || value === "false") return { ok: true, value: false };
  return { ok: false, problem: `must be true or false, not "${value}"` };
};

function oneOf<const V extends string>(values: readonly V[]): Setting<V>["parse"] {
  return (value) =>
    (values as readonly string[]).includes(value)
      ? { ok: true, value: value as V }
      : { ok: false, problem: `must be one of ${values.join(", ")}, not "${value}"` };
}

const httpUrl: Setting<string>["parse"] = (value) => {
  const url = URL.parse(value);
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash)
    return { ok: false, problem: `must be an http or https URL without query, not "${value}"` };
  return { ok: true, value: value.replace(/\/+$/, "") };
};

/** Checked here, kept as it was written. */
function checkedText(check: (value: string) => { ok: true } | { ok: false; problem: string }): Setting<string>["parse"] {
  return (value) => {
    const checked = check(value);
    return checked.ok ? { ok: true, value } : checked;
  };
}

export interface WarmShape {
  vcpus: number;
  memoryMib: number;
}

/** `2x2048,1x512`: vCPUs and MiB. */
const shapes: Setting<readonly WarmShape[]>["parse"] = (value) => {
  const found: WarmShape[] = [];
  for (const part of value.split(",").filter((one) => one.trim() !== "")) {
    const match = /^\s*(\d{1,3})x(\d{2,7})\s*$/.exec(part);
    if (match === null) return { ok: false, problem: `must be shapes such as 2x2048,1x512 (vCPUs x MiB), not "${value}"` };
    found.push({ vcpus: Number(match[1]), memoryMib: Number(match[2]) });
  }
  return { ok: true, value: found };
};

/** The shape of a sandbox that says nothing (http §9.4). */
const defaultShapes: readonly WarmShape[] = [{ vcpus: 2, memoryMib: 2048 }];

export const settings = {
  serverUrl: setting("HELMR_SERVER_URL", httpUrl, required, "URL of the control plane"),
  enrollmentSecret: secret(
    setting("HELMR_ENROLLMENT_SECRET", text, "", "secret of the worker group; needed until the worker has a credential"),
  ),
  stateDirectory: setting(
    "HELMR_STATE_DIR",
    text,
    required,
    "directory for the credential, caches and running machines; others must be able to pass through it",
  ),
  guestDirectory: setting("HELMR_GUEST_DIR", text, required, "directory of the prepared guest: kernel, initramfs, substrate, base image"),
  name: setting("HELMR_WORKER_NAME", text, hostname(), "name of this worker, unique in its group"),
  readyFile: setting("HELMR_READY_FILE", text, "", "file that is written once the worker takes work"),
  cpus: setting("HELMR_WORKER_CPUS", integer(1, 4096), cpus().length, "processors of this host for guests"),
  cpuOvercommit: setting("HELMR_WORKER_CPU_OVERCOMMIT", integer(1, 64), 8, "how many times each processor is offered; agents mostly wait"),
  memoryMib: setting(
    "HELMR_WORKER_MEMORY_MIB",
    integer(256, 16_777_216),
    Math.floor((totalmem() / 1024 / 1024) * 0.8),
    "memory of this host for guests",
  ),
  memoryReserveMib: setting(
    "HELMR_WORKER_MEMORY_RESERVE_MIB",
    integer(0, 16_777_216),
    512,
    "available memory of the host below which runs that wait are parked at once",
  ),
  slots: setting("HELMR_WORKER_SLOTS", integer(1, 10_000), 64, "most machines at once"),
  diskReserveMib: setting("HELMR_WORKER_DISK_RESERVE_MIB", integer(64, 16_777_216), 2048, "free disk below which nothing new is started"),
  scratchMib: setting("HELMR_WORKER_SCRATCH_MIB", integer(64, 1_048_576), 10_240, "size of a machine's root layer; sparse"),
  basesMib: setting(
    "HELMR_WORKER_BASES_MIB",
    integer(256, 16_777_216),
    20_480,
    "most disk for local copies of workspaces, task trees and images",
  ),
  packsMib: setting("HELMR_WORKER_PACKS_MIB", integer(64, 16_777_216), 4096, "most disk for cached packs of the chunk store"),
  checkpointsMib: setting(
    "HELMR_WORKER_CHECKPOINTS_MIB",
    integer(0, 16_777_216),
    4096,
    "most disk for local copies of parked machines; a resume without one fetches from the store",
  ),
  templatesMib: setting("HELMR_WORKER_TEMPLATES_MIB", integer(256, 16_777_216), 8192, "most disk for machine templates"),
  warmShapes: setting("HELMR_WORKER_WARM_SHAPES", shapes, defaultShapes, "machine shapes whose templates are made at start"),
  spares: setting(
    "HELMR_WORKER_SPARES",
    integer(0, 64),
    2,
    "machines of each kind made in advance; under emulation a fresh one starts slowly",
  ),
  registryMirrors: setting(
    "HELMR_REGISTRY_MIRRORS",
    checkedText(parseMirrors),
    "",
    "mirrors of image registries: docker.io=http://127.0.0.1:5000, separated by commas; asked first, then the registry itself",
  ),
  registries: setting(
    "HELMR_REGISTRIES",
    checkedText(parseRegistries),
    "",
    "image registries on private addresses or with plain http that builds may use: http://127.0.0.1:5000, separated by commas",
  ),
  imagePull: setting(
    "HELMR_IMAGE_PULL",
    oneOf(["always", "missing"]),
    "always",
    "always: a tag of a base image is looked up for each build; missing: what this worker found before counts",
  ),
  layersMib: setting("HELMR_WORKER_LAYERS_MIB", integer(64, 16_777_216), 10_240, "most disk for downloaded layers of base images"),
  buildCachesMib: setting("HELMR_WORKER_BUILD_CACHES_MIB", integer(64, 16_777_216), 20_480, "most disk for cache mounts of image builds"),
  accelerator: setting(
    "HELMR_ACCELERATOR",
    oneOf(["auto", "kvm", "hvf", "tcg"]),
    "auto",
    "auto: KVM where the probes prove it, software emulation elsewhere",
  ),
  guestAllow: setting(
    "HELMR_GUEST_ALLOW",
    text,
    "",
    "private destinations that guests may reach: addresses, ranges and names, with ports, separated by commas",
  ),
  guestServices: setting("HELMR_GUEST_SERVICES", text, "", "services of this host for guests: name:port=host:port, separated by commas"),
  guestHostSettings: setting(
    "HELMR_GUEST_HOST_SETTINGS",
    flag,
    true,
    "hand this host's npm registry and extra certificate authorities on to its guests",
  ),
  drainMs: setting("HELMR_WORKER_DRAIN_MS", integer(0, 3_600_000), 20_000, "how long running work may go on after a TERM signal"),
  logLevel: setting(
    "HELMR_LOG_LEVEL",
    oneOf<LogLevel>(["debug", "info", "warn", "error", "silent"]),
    "info",
    "least severe event that is logged",
  ),
} as const;

type Value<S> = S extends Setting<infer T> ? T : never;
export type Config = { readonly [K in keyof typeof settings]: Value<(typeof settings)[K]> };

export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = [];
  const result: Record<string, unknown> = {};
  for (const [key, { name, parse, default: fallback, doc }] of Object.entries(settings) as [string, Setting<unknown>][]) {
    const given = environment[name]?.trim();
    if (given === undefined || given === "") {
      if (fallback === undefined) problems.push(`${name} is not set: ${doc}`);
      result[key] = fallback;
      continue;
    }
    const parsed = parse(given);
    if (parsed.ok) result[key] = parsed.value;
    else problems.push(`${name} ${parsed.problem}`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(result) as Config;
}

/** One line per setting, secrets hidden: what `--print-config` shows. */
export function describeConfig(config: Config): string {
  const lines = (Object.entries(settings) as [keyof Config, Setting<unknown>][]).map(([key, { name, secret: hidden }]) => {
    const value = config[key];
    const shown = typeof value === "object" ? JSON.stringify(value) : String(value);
    return `${name}=${hidden && shown !== "" ? "(hidden)" : shown}`;
  });
  return `${lines.join("\n")}\n`;
}

/** Where everything of this worker lies. */
export function statePaths(directory: string) {
  const at = (name: string) => join(directory, name);
  return {
    credential: at("credential.json"),
    leases: at("leases"),
    bases: at("bases"),
    empty: at("empty"),
    images: at("images"),
    packs: at("packs"),
    staging: at("staging"),
    checkpoints: at("checkpoints"),
    templates: at("templates"),
    driver: at("driver"),
    spares: at("spares"),
  };
}
