/**
 * The steps of one image, made ready: the configuration that each one sees and leaves (sdk §2.2), absolute paths, the text that is shown. Steps that
 * only change the configuration have no content of their own.
 */
import { posix } from "node:path";
import type { ImageDeclaration, ImageStep } from "@helmr/protocol/guest";
import { ImageError } from "../image-error.ts";
import type { ImageConfig } from "../registry/manifests.ts";

export type WorkStep =
  | { kind: "run"; argv: string[]; caches: { mountPath: string; id: string }[]; secrets: { mountPath: string; secret: string }[] }
  | { kind: "copy"; destination: string; source: Extract<ImageStep, { kind: "copy" }>["source"] }
  | { kind: "copyFrom"; destination: string; image: string; source: string }
  /** Not declared: the dependencies of the project, behind everything else. */
  | { kind: "dependencies" };

export interface PlannedStep {
  /** From 1, among all steps of the image as they were declared. */
  number: number;
  shown: string;
  step: WorkStep;
  /** What the step sees. */
  config: ImageConfig;
}

export interface ImagePlan {
  from: { number: number; ref: string; shown: string };
  steps: PlannedStep[];
  total: number;
  /** Of the finished image. */
  config: ImageConfig;
}

const noConfig: ImageConfig = { env: {}, workdir: "", user: "" };
const defaultDirectory = "/workspace";
const cachesMax = 4;

/** The reference the image begins with, for resolving it; a second `from` makes everything before it void. */
export function baseOf(image: ImageDeclaration): { number: number; ref: string } {
  const index = image.steps.findLastIndex((step) => step.kind === "from");
  const early = image.steps.findIndex((step) => !["from", "env", "workdir", "user"].includes(step.kind));
  const first = image.steps.findIndex((step) => step.kind === "from");
  if (index < 0 || (early >= 0 && early < first))
    throw invalid(
      image,
      index < 0
        ? `has no .from(…): begin with .from("node:24-bookworm-slim"), for example`
        : `has a ${image.steps[early]?.kind} step before .from(…)`,
    );
  return { number: index + 1, ref: (image.steps[index] as Extract<ImageStep, { kind: "from" }>).ref };
}

export function planImage(image: ImageDeclaration, base: { config: ImageConfig; shown: string }): ImagePlan {
  const { number, ref } = baseOf(image);
  const isFirst = image.steps.findIndex((step) => step.kind === "from") === number - 1;
  const before = isFirst ? image.steps.slice(0, number - 1).reduce(configured, noConfig) : noConfig;
  let config: ImageConfig = {
    env: { ...base.config.env, ...before.env },
    workdir: before.workdir === "" ? base.config.workdir : posix.resolve(base.config.workdir || "/", before.workdir),
    user: before.user || base.config.user,
  };
  const steps: PlannedStep[] = [];
  for (const [index, step] of image.steps.entries()) {
    if (index < number || step.kind === "from") continue;
    const work = workOf(image, step, config);
    if (work === undefined) config = configured(config, step);
    else steps.push({ number: index + 1, shown: shownStep(step), step: work, config });
  }
  return { from: { number, ref, shown: `from ${base.shown}` }, steps, total: image.steps.length, config: finished(config) };
}

/** sdk §2.2: without a WORKDIR it is /workspace, without a USER root. */
export function finished(config: ImageConfig): ImageConfig {
  return { env: config.env, workdir: config.workdir || defaultDirectory, user: config.user || "root" };
}

function configured(config: ImageConfig, step: ImageStep): ImageConfig {
  if (step.kind === "env") return { ...config, env: { ...config.env, [step.key]: step.value } };
  if (step.kind === "workdir") return { ...config, workdir: posix.resolve(config.workdir || "/", step.path) };
  if (step.kind === "user") return { ...config, user: step.name };
  return config;
}

function workOf(image: ImageDeclaration, step: ImageStep, config: ImageConfig): WorkStep | undefined {
  const absolute = (path: string) => destinationOf(image, path, config);
  if (step.kind === "run") {
    if (step.caches.length > 0 && step.secrets.length > 0)
      throw invalid(image, "has a run step with a cache mount and a secret mount, which cannot be together");
    if (step.caches.length > cachesMax) throw invalid(image, `has a run step with ${step.caches.length} caches; at most ${cachesMax} fit`);
    return {
      kind: "run",
      argv: step.argv,
      caches: step.caches.map(({ mountPath, id }) => ({ mountPath: absolute(mountPath), id })),
      secrets: step.secrets.map(({ mountPath, secret }) => ({ mountPath: absolute(mountPath), secret })),
    };
  }
  if (step.kind === "copy") return { kind: "copy", destination: absolute(step.destination), source: step.source };
  if (step.kind === "copyFrom")
    return { kind: "copyFrom", destination: absolute(step.destination), image: step.image, source: posix.resolve("/", step.source) };
  return undefined;
}

/** Relative to the working directory; a slash at the end stays. */
function destinationOf(image: ImageDeclaration, path: string, config: ImageConfig): string {
  if (path.includes("\0")) throw invalid(image, "has a path with a NUL in it");
  const resolved = posix.resolve(config.workdir || defaultDirectory, path);
  return path.endsWith("/") && resolved !== "/" ? `${resolved}/` : resolved;
}

const shownMax = 160;

function shownStep(step: ImageStep): string {
  const text = (() => {
    switch (step.kind) {
      case "run":
        return `run ${step.argv.map((part) => (/^[\w@%+=:,./-]+$/.test(part) ? part : JSON.stringify(part))).join(" ")}`;
      case "copy":
        return `copy ${step.source.path} to ${step.destination}`;
      case "copyFrom":
        return `copy ${step.source} of image "${step.image}" to ${step.destination}`;
      default:
        return step.kind;
    }
  })();
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > shownMax ? `${line.slice(0, shownMax)}…` : line;
}

function invalid(image: ImageDeclaration, what: string): ImageError {
  return new ImageError("step_invalid", `image "${image.id}" ${what}`);
}
