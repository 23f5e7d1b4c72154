/**
 * Keys of steps: a digest of everything the result depends on. Values of secrets are never in them, only names; a chain that has seen one
 * is the environment's alone, because another environment's secret of the same name is another one.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "@helmr/protocol/shared";
import type { PlannedStep } from "./step-plan.ts";

/** Changes whenever a step of the same key would come out otherwise: another format of disks, another meaning of a step. */
const format = "1";

export interface KeyedStep {
  key: string;
  /** What the key is made of, by name, for saying what has changed. */
  inputs: Record<string, string>;
  /** Whether the step or one before it has seen a secret. */
  isPrivate: boolean;
}

export function baseKey(base: { digest: string; architecture: string; diskBytes: number }): KeyedStep {
  return keyed({ digest: base.digest, architecture: base.architecture, disk: String(base.diskBytes) }, false);
}

export interface StepContent {
  parent: KeyedStep;
  environmentId: string;
  /** Of the files that are copied. */
  sourceDigest?: string;
  /** Of the image that is copied from. */
  image?: KeyedStep;
  /** What the project's dependencies depend on. */
  dependencies?: Record<string, string>;
}

export function stepKey({ step, config }: PlannedStep, content: StepContent): KeyedStep {
  const { parent } = content;
  if (step.kind === "copy")
    return keyed({ parent: parent.key, files: content.sourceDigest ?? "", destination: step.destination }, parent.isPrivate);
  if (step.kind === "dependencies") return keyed({ parent: parent.key, ...content.dependencies }, parent.isPrivate);
  if (step.kind === "copyFrom") {
    const isPrivate = parent.isPrivate || content.image?.isPrivate === true;
    return keyed({ parent: parent.key, image: content.image?.key ?? "", source: step.source, destination: step.destination }, isPrivate);
  }
  const isPrivate = parent.isPrivate || step.secrets.length > 0;
  const inputs: Record<string, string> = {
    parent: parent.key,
    command: digest(step.argv),
    caches: digest(step.caches),
    secrets: digest(step.secrets),
    environment: digest(config.env),
    directory: config.workdir,
    user: config.user,
  };
  if (step.secrets.length > 0) inputs["scope"] = content.environmentId;
  return keyed(inputs, isPrivate);
}

function keyed(inputs: Record<string, string>, isPrivate: boolean): KeyedStep {
  const short = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, value.length > 200 ? digest(value) : value]));
  return { key: digest({ format, ...short }), inputs: short, isPrivate };
}

function digest(value: unknown): string {
  return `sha256:${createHash("sha256").update(canonicalJson(value)).digest("hex")}`;
}

const sentences: Record<string, string> = {
  parent: "the step before it changed",
  files: "the files changed",
  destination: "the destination changed",
  image: "the image that is copied from changed",
  source: "the source changed",
  command: "the command changed",
  caches: "its caches changed",
  secrets: "its secrets changed",
  environment: "the image's environment changed",
  directory: "the working directory changed",
  user: "the user changed",
  manager: "the package manager changed",
  lock: "the lock file changed",
  manifest: "package.json changed",
  settings: "the settings of the package manager changed",
  scope: "it uses a secret and was built for another environment",
  digest: "the tag stands for another image now",
  architecture: "the architecture changed",
  disk: "the size of images' disks changed",
};

/** Why a step was not in the cache; `previous`: what stood at its place the last time. */
export function explainMiss(inputs: Record<string, string>, previous: Record<string, string> | undefined): string {
  if (previous === undefined) return "it was not built before";
  const changed = Object.keys(sentences).find((name) => inputs[name] !== previous[name] && (name in inputs || name in previous));
  return changed === undefined ? "it was built before and is gone" : (sentences[changed] as string);
}
