/**
 * Image builders (sdk §2.2). A builder is immutable: each call returns a new one with one more step. Which orders of steps make sense is
 * judged by the build; here only secret names are checked.
 */
import { brand, brandData, hasBrand } from "../brand.ts";
import { DefinitionError } from "../errors.ts";
import { validateSecretName } from "./secret-name.ts";
import type { SourceDirRef, SourceFileRef } from "./source.ts";

export interface CacheBuilder {
  readonly id: string;
}

/** A persistent directory of the builder, shared by name; used by one build step at a time. */
export interface CacheMount {
  readonly mountPath: string;
  readonly cache: CacheBuilder;
}
export type CacheMountBinding = CacheMount;

/** A file, readable by root alone, that holds the secret while the step runs. */
export interface SecretMountBinding {
  readonly mountPath: string;
  readonly secret: string;
}

export interface ImageRunOptions {
  readonly cache?: readonly CacheMountBinding[];
  readonly secrets?: readonly SecretMountBinding[];
}

export interface ImageBuilder {
  readonly id: string;
  /** Base image: bare names are of docker.io/library, `a/b` of docker.io. */
  from(ref: string): ImageBuilder;
  /** Runs a program without a shell. */
  run(argv: readonly string[], options?: ImageRunOptions): ImageBuilder;
  /** Copies a file or directory of the project, or the whole tree of another image. */
  copy(dest: string, src: SourceFileRef | SourceDirRef | ImageBuilder): ImageBuilder;
  copyFrom(dest: string, image: ImageBuilder, srcPath: string): ImageBuilder;
  workdir(path: string): ImageBuilder;
  env(key: string, value: string): ImageBuilder;
  user(name: string): ImageBuilder;
}

/** One step as written. Images inside are the brand data of their builders, so that copies of the SDK can read each other. */
export type ImageStepData =
  | { readonly kind: "from"; readonly ref: string }
  | {
      readonly kind: "run";
      readonly argv: readonly string[];
      readonly caches: readonly { readonly mountPath: string; readonly id: string }[];
      readonly secrets: readonly SecretMountBinding[];
    }
  | { readonly kind: "copy"; readonly destination: string; readonly source: SourceFileRef | SourceDirRef }
  | { readonly kind: "copyFrom"; readonly destination: string; readonly image: ImageData; readonly source: string }
  | { readonly kind: "workdir"; readonly path: string }
  | { readonly kind: "env"; readonly key: string; readonly value: string }
  | { readonly kind: "user"; readonly name: string };

export interface ImageData {
  readonly id: string;
  readonly steps: readonly ImageStepData[];
}

export function image(id: string): ImageBuilder {
  if (typeof id !== "string" || id.trim() === "") throw new DefinitionError("image(id) needs an id that is not blank");
  return builder({ id, steps: [] });
}

export function cache(id: string): CacheBuilder {
  if (typeof id !== "string" || id.trim() === "") throw new DefinitionError("cache(id) needs an id that is not blank");
  return Object.freeze({ id });
}

/** The definition behind a builder of any copy of the SDK. */
export function imageData(value: unknown): ImageData | undefined {
  return brandData("ImageBuilder", value) as ImageData | undefined;
}

function builder(data: ImageData): ImageBuilder {
  const { id } = data;
  const add = (step: ImageStepData): ImageBuilder => builder({ id, steps: Object.freeze([...data.steps, Object.freeze(step)]) });
  const methods: ImageBuilder = {
    id,
    from: (ref) => add({ kind: "from", ref }),
    run: (argv, options) => add(runStep(id, argv, options ?? {})),
    copy: (destination, src) => add(copyStep(id, destination, src)),
    copyFrom: (destination, other, srcPath) => add({ kind: "copyFrom", destination, image: otherImage(id, other), source: srcPath }),
    workdir: (path) => add({ kind: "workdir", path }),
    env: (key, value) => add({ kind: "env", key, value }),
    user: (name) => add({ kind: "user", name }),
  };
  return Object.freeze(brand("ImageBuilder", methods, data));
}

function runStep(id: string, argv: readonly string[], options: ImageRunOptions): ImageStepData {
  if (!Array.isArray(argv)) throw new DefinitionError(`run of image "${id}" needs a list: the program and its arguments`);
  const secrets = options.secrets ?? [];
  for (const binding of secrets) validateSecretName(binding.secret, `secret of a run step of image "${id}"`);
  return {
    kind: "run",
    argv: Object.freeze([...(argv as readonly string[])]),
    caches: (options.cache ?? []).map((mount) => ({ mountPath: mount.mountPath, id: mount.cache.id })),
    secrets: secrets.map(({ mountPath, secret }) => ({ mountPath, secret })),
  };
}

function copyStep(id: string, destination: string, src: unknown): ImageStepData {
  if (hasBrand("SourceFileRef", src) || hasBrand("SourceDirRef", src))
    return { kind: "copy", destination, source: src as SourceFileRef | SourceDirRef };
  const other = imageData(src);
  if (other) return { kind: "copyFrom", destination, image: other, source: "/" };
  throw new DefinitionError(
    `copy of image "${id}" needs source.file(path), source.directory(path) or another image as its second argument`,
  );
}

function otherImage(id: string, other: unknown): ImageData {
  const data = imageData(other);
  if (!data) throw new DefinitionError(`copyFrom of image "${id}" needs another image as its second argument`);
  return data;
}
