/**
 * Image references the way Docker reads them: `debian` is docker.io/library/debian:latest, `a/b` is docker.io/a/b, a first part with a dot, a
 * colon, or that is `localhost`, is a registry.
 */
import { ImageError } from "../image-error.ts";

export interface ImageReference {
  /** Host and port as the user means it; `docker.io` for Docker Hub. */
  registry: string;
  repository: string;
  tag: string | undefined;
  digest: string | undefined;
  /** With everything that was left out. */
  canonical: string;
}

const hostPattern =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/;
const partPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
export const digestPattern = /^sha256:[0-9a-f]{64}$/;
const repositoryMax = 255;
const hub = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

export function parseReference(text: string): ImageReference {
  const refuse = (why: string): never => {
    throw new ImageError(
      "reference_invalid",
      `The image reference ${JSON.stringify(text.slice(0, 300))} ${why}. Write name[:tag][@sha256:…], for example "debian:12" or "ghcr.io/owner/name:1"`,
    );
  };
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !digestPattern.test(digest)) refuse("has a digest that is not sha256 and 64 hexadecimal digits");
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(":");
  const hasTag = colon > named.lastIndexOf("/");
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !tagPattern.test(tag)) refuse("has a tag that no registry takes");
  const { registry, repository } = splitName(hasTag ? named.slice(0, colon) : named);
  if (!hostPattern.test(registry)) refuse("names a registry that is no host");
  if (repository.length > repositoryMax || repository.split("/").some((part) => !partPattern.test(part)))
    refuse("has a name that no registry takes (lower case letters, digits, and . _ - between them)");
  const shownTag = tag ?? (digest === undefined ? "latest" : undefined);
  const canonical = `${registry}/${repository}${shownTag === undefined ? "" : `:${shownTag}`}${digest === undefined ? "" : `@${digest}`}`;
  return { registry, repository, tag: shownTag, digest, canonical };
}

function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isRegistry = first === "localhost" || first.includes(".") || first.includes(":");
  if (!isRegistry) return { registry: "docker.io", repository: slash < 0 ? `library/${name}` : name };
  const rest = name.slice(slash + 1);
  if (!hub.has(first)) return { registry: first, repository: rest };
  return { registry: "docker.io", repository: rest.includes("/") ? rest : `library/${rest}` };
}
