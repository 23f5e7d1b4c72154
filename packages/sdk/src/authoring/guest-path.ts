/** Paths inside a guest: the workspace mount path and the places of secrets (sdk §2.3, §2.6). */
import { DefinitionError } from "../errors.ts";
import { shown } from "../json-value.ts";

/** Not for a workspace or an absolute secret path, nor anything below. */
const reservedPaths = ["/dev", "/opt/helmr", "/proc", "/run", "/sys", "/tmp", "/.helmr-old-root"] as const;

/** The reserved path that a path is equal to or below. */
export function reservedPathOf(path: string): string | undefined {
  return reservedPaths.find((reserved) => path === reserved || path.startsWith(`${reserved}/`));
}

/** Without double slashes, `.` parts and a slash at the end. */
export function normalPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return path.startsWith("/") ? `/${parts.join("/")}` : parts.join("/");
}

export function hasParentPart(path: string): boolean {
  return path.split("/").includes("..");
}

export function workspacePath(path: unknown, label: string): string {
  if (typeof path !== "string" || !path.startsWith("/"))
    throw new DefinitionError(`${label} must be an absolute path, and is ${shown(path)}`);
  if (path.includes("\0")) throw new DefinitionError(`${label} must not contain NUL`);
  if (hasParentPart(path)) throw new DefinitionError(`${label} must not contain "..", and is ${shown(path)}`);
  const normal = normalPath(path);
  if (normal === "/") throw new DefinitionError(`${label} must not be "/"`);
  const reserved = reservedPathOf(normal);
  if (reserved !== undefined)
    throw new DefinitionError(`${label} must not be at or below the reserved path ${reserved}, and is ${shown(path)}`);
  return normal;
}
