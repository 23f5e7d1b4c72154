/** Defaults of `project create` and `env create` (cli §5.7). */
const slugLengthMax = 48;

/** Lower case; a-z and 0-9 stay, a run of blanks or `-` becomes one `-`, the rest is dropped. */
export function defaultSlug(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9\s-]/g, "")
    .replace(/[\s-]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return plain.slice(0, slugLengthMax);
}

const namedColours: readonly (readonly [readonly string[], string])[] = [
  [["prod", "live", "main", "master"], "#315FCE"],
  [["stag", "qa"], "#F59E0B"],
  [["preview"], "#06B6D4"],
  [["dev", "local"], "#22C55E"],
  [["sandbox", "test", "demo", "playground"], "#8B5CF6"],
];

const otherColours = ["#0EA5E9", "#8B5CF6", "#EC4899", "#F97316", "#14B8A6", "#84CC16", "#6366F1"] as const;

export function defaultColour(slug: string): string {
  const named = namedColours.find(([parts]) => parts.some((part) => slug.includes(part)));
  if (named) return named[1];
  let hash = 0;
  for (const character of slug) hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) >>> 0;
  return otherColours[hash % otherColours.length] as string;
}
