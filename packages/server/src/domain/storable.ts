/**
 * What comes out of a guest may hold what PostgreSQL's text and jsonb cannot: NUL characters and halves of surrogate pairs. They are replaced, because
 * refusing them would keep a worker from ever reporting what its guest said.
 */
const replacement = "\ufffd";

export function storableText(text: string): string {
  const withoutNul = text.includes("\0") ? text.replaceAll("\0", replacement) : text;
  return withoutNul.isWellFormed() ? withoutNul : withoutNul.toWellFormed();
}

const depthMax = 200;

/** A copy whose strings and keys can be stored. Deeper than anybody needs is cut. */
export function storableJson(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return storableText(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value !== "object" || value === null) return value;
  if (depth >= depthMax) return null;
  if (Array.isArray(value)) return value.map((item) => storableJson(item, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [storableText(key), storableJson(item, depth + 1)]));
}
