/** A project and an environment, by their slugs, as they stand in the console's URLs. */
export interface Scope {
  project: string;
  environment: string;
}

export function scopePrefix({ project, environment }: Scope): string {
  return `/projects/${encodeURIComponent(project)}/environments/${encodeURIComponent(environment)}`;
}

/** First parts of every query key of the environment, so that one call can refresh all of it. */
export function scopeKey({ project, environment }: Scope): readonly [string, string, string] {
  return ["scope", project, environment];
}
