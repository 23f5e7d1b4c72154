/** The environment that was looked at last: where `/` leads, and where short addresses are looked up first. */
import type { Scope } from "../api/scope.ts";

const storageKey = "helmr-scope";

export function rememberScope(scope: Scope): void {
  try {
    localStorage.setItem(storageKey, JSON.stringify(scope));
  } catch {
    // Storage can be forbidden: the default environment is used then.
  }
}

export function lastScope(): Scope | undefined {
  try {
    const stored = JSON.parse(localStorage.getItem(storageKey) ?? "null") as Partial<Scope> | null;
    return typeof stored?.project === "string" && typeof stored.environment === "string"
      ? { project: stored.project, environment: stored.environment }
      : undefined;
  } catch {
    // As above; or it holds something else.
    return undefined;
  }
}

interface Listed {
  slug: string;
  is_default: boolean;
  environments?: readonly { slug: string; is_default: boolean }[];
}

/** The remembered environment if it still exists, else the default one, else any. */
export function startScope(projects: readonly Listed[], remembered: Scope | undefined): Scope | undefined {
  const all = projects.flatMap((project) =>
    (project.environments ?? []).map((environment) => ({
      project,
      environment,
      scope: { project: project.slug, environment: environment.slug },
    })),
  );
  const found =
    all.find(({ scope }) => scope.project === remembered?.project && scope.environment === remembered.environment) ??
    all.find(({ project, environment }) => project.is_default && environment.is_default) ??
    all.find(({ environment }) => environment.is_default) ??
    all[0];
  return found?.scope;
}
