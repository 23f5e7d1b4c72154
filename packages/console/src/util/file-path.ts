/** Paths inside a workspace: relative, `.` is the workspace itself. */

export interface Crumb {
  name: string;
  path: string;
}

export function crumbsOf(path: string): Crumb[] {
  const parts = path === "." || path === "" ? [] : path.split("/");
  return parts.map((name, index) => ({ name, path: parts.slice(0, index + 1).join("/") }));
}

export function parentOf(path: string): string {
  return crumbsOf(path).at(-2)?.path ?? ".";
}

export function nameOf(path: string): string {
  return crumbsOf(path).at(-1)?.name ?? "workspace";
}

/** `rwxr-xr-x` of a mode. */
export function modeText(mode: number): string {
  return [6, 3, 0].map((shift) => [4, 2, 1].map((bit, index) => ((mode >> shift) & bit ? "rwx"[index] : "-")).join("")).join("");
}
