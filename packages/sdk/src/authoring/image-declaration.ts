/**
 * Images of a project as declarations. An image is known by its id; a second image with the same id and other steps (builders are
 * immutable, so two branches of one `image(id)` are ordinary) gets a number behind it. Build steps are judged by the build, except what
 * could not even be written down.
 */
import { DefinitionError } from "../errors.ts";
import { hasParentPart } from "./guest-path.ts";
import type { ImageData, ImageStepData } from "./image.ts";
import { shown } from "../json-value.ts";

export type ImageStep =
  | { kind: "from"; ref: string }
  | { kind: "run"; argv: string[]; caches: { mountPath: string; id: string }[]; secrets: { mountPath: string; secret: string }[] }
  | { kind: "copy"; destination: string; source: { kind: "file"; path: string } | { kind: "directory"; path: string; ignore: string[] } }
  | { kind: "copyFrom"; destination: string; image: string; source: string }
  | { kind: "workdir"; path: string }
  | { kind: "env"; key: string; value: string }
  | { kind: "user"; name: string };

export interface ImageDeclaration {
  id: string;
  steps: ImageStep[];
}

export interface ImageCollection {
  /** The key of the image; adds it, and the images it copies from, once. */
  add(image: ImageData, user: string): string;
  declarations(): Record<string, ImageDeclaration>;
}

export function collectImages(): ImageCollection {
  const byKey = new Map<string, { text: string; declaration: ImageDeclaration }>();

  function add(image: ImageData, user: string, above: readonly string[]): string {
    const path = [...above, image.id];
    if (above.includes(image.id)) throw new DefinitionError(`images copy from each other in a cycle: ${path.join(" from ")}`);
    if (image.steps.length === 0)
      throw new DefinitionError(`image "${image.id}" of ${user} has no steps; begin with .from("debian:12"), for example`);
    const steps = image.steps.map((step) => stepDeclaration(step, image.id, (other) => add(other, `image "${image.id}"`, path)));
    const text = JSON.stringify(steps);
    for (let number = 1; ; number += 1) {
      const key = number === 1 ? image.id : `${image.id}#${number}`;
      const earlier = byKey.get(key);
      if (earlier === undefined) byKey.set(key, { text, declaration: { id: image.id, steps } });
      if (earlier === undefined || earlier.text === text) return key;
    }
  }

  return {
    add: (image, user) => add(image, user, []),
    declarations: () => Object.fromEntries(Array.from(byKey, ([key, entry]) => [key, entry.declaration])),
  };
}

function stepDeclaration(step: ImageStepData, id: string, keyOf: (image: ImageData) => string): ImageStep {
  const label = `${step.kind} step of image "${id}"`;
  switch (step.kind) {
    case "from":
      return { kind: "from", ref: text(step.ref, label) };
    case "run":
      if (step.argv.length === 0) throw new DefinitionError(`${label} needs at least the name of a program`);
      return {
        kind: "run",
        argv: step.argv.map((part) => plain(part, label)),
        caches: step.caches.map((mount) => ({ mountPath: text(mount.mountPath, label), id: text(mount.id, label) })),
        secrets: step.secrets.map((mount) => ({ mountPath: text(mount.mountPath, label), secret: mount.secret })),
      };
    case "copy":
      return { kind: "copy", destination: text(step.destination, label), source: sourceDeclaration(step.source, label) };
    case "copyFrom":
      return { kind: "copyFrom", destination: text(step.destination, label), image: keyOf(step.image), source: text(step.source, label) };
    case "workdir":
      return { kind: "workdir", path: text(step.path, label) };
    case "env":
      return { kind: "env", key: text(step.key, label), value: plain(step.value, label) };
    case "user":
      return { kind: "user", name: text(step.name, label) };
    default:
      return unknownStep(step);
  }
}

/** A newer copy of the SDK may know more kinds than this one. */
function unknownStep(step: never): never {
  throw new DefinitionError(`an image has a step of an unknown kind: ${shown(step)}; use one version of @helmr/sdk in the project`);
}

function sourceDeclaration(
  source: Extract<ImageStepData, { kind: "copy" }>["source"],
  label: string,
): Extract<ImageStep, { kind: "copy" }>["source"] {
  const path = text(source.path, label);
  if (path.startsWith("/") || hasParentPart(path))
    throw new DefinitionError(`${label}: source path must be relative to the project and without "..", and is ${shown(path)}`);
  if (path.split("/").includes(".git")) throw new DefinitionError(`${label}: source path must not be inside .git, and is ${shown(path)}`);
  return source.kind === "file" ? { kind: "file", path } : { kind: "directory", path, ignore: [...source.ignore] };
}

function plain(value: unknown, label: string): string {
  if (typeof value !== "string" || value.includes("\0"))
    throw new DefinitionError(`${label} needs a text without NUL, and has ${shown(value)}`);
  return value;
}

function text(value: unknown, label: string): string {
  const checked = plain(value, label);
  if (checked.trim() === "") throw new DefinitionError(`${label} has an empty text`);
  return checked;
}
