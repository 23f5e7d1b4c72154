/**
 * The roots from which every key of the server is derived (engine §7). Each purpose has roots of its own, so that losing or rotating one says
 * nothing about the others. The first root of a purpose is the current one: new things are made with it; the others only open or verify what was
 * made before. A root is never derived from another.
 *
 * The text form is JSON: `{"secrets": [{"id": "k2", "key": "<base64 of 32 bytes>"}, {"id": "k1", "key": "…"}], …}`. On AWS it comes from Secrets
 * Manager, on one machine from a file that only its owner can read (`key-file.ts`).
 *
 * `chunk_ids` is the one purpose that is never rotated: ids of stored chunks are computed with it, and an id must stay what it was.
 */
import { randomBytes } from "node:crypto";
import { randomText } from "./credentials.ts";

export const keyPurposes = ["login", "worker", "grants", "tokens", "secrets", "content", "chunk_ids"] as const;
export type KeyPurpose = (typeof keyPurposes)[number];

export interface RootKey {
  id: string;
  key: Buffer;
}

/** At least one root per purpose, the current one first. */
export type KeyRing = Readonly<Record<KeyPurpose, readonly [RootKey, ...RootKey[]]>>;

export type ParsedKeyRing = { ok: true; ring: KeyRing } | { ok: false; problems: string[] };

const rootBytes = 32;
const rootsMax = { login: 32, worker: 32, grants: 32, tokens: 32, secrets: 32, content: 32, chunk_ids: 1 } as const satisfies Record<
  KeyPurpose,
  number
>;
const idPattern = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/** All problems at once, none of which repeats key material. */
export function parseKeyRing(text: string): ParsedKeyRing {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, problems: ["the key ring is not valid JSON"] };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return { ok: false, problems: ["the key ring must be a JSON object"] };
  const given = value as Record<string, unknown>;
  const problems = Object.keys(given)
    .filter((name) => !keyPurposes.includes(name as KeyPurpose))
    .map((name) => `the key ring has the unknown purpose ${JSON.stringify(name)}; known are ${keyPurposes.join(", ")}`);
  const ring: Partial<Record<KeyPurpose, RootKey[]>> = {};
  for (const purpose of keyPurposes) ring[purpose] = parseRoots(purpose, given[purpose], problems);
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, ring: ring as unknown as KeyRing };
}

function parseRoots(purpose: KeyPurpose, value: unknown, problems: string[]): RootKey[] {
  const max = rootsMax[purpose];
  if (!Array.isArray(value) || value.length === 0 || value.length > max) {
    problems.push(`the key ring needs ${max === 1 ? "a list of exactly 1 key" : `a list of 1 to ${max} keys`} for the purpose ${purpose}`);
    return [];
  }
  const roots: RootKey[] = [];
  for (const [at, item] of (value as unknown[]).entries()) {
    const { id, key } = (typeof item === "object" && item !== null ? item : {}) as { id?: unknown; key?: unknown };
    const bytes = typeof key === "string" ? Buffer.from(key, "base64") : Buffer.alloc(0);
    if (typeof id !== "string" || !idPattern.test(id))
      problems.push(`key ${at + 1} of the purpose ${purpose} needs an id that matches ${idPattern.source}`);
    else if (bytes.length !== rootBytes) problems.push(`key "${id}" of the purpose ${purpose} must be the base64 of ${rootBytes} bytes`);
    else if (roots.some((root) => root.id === id)) problems.push(`key id "${id}" of the purpose ${purpose} is used twice`);
    else roots.push({ id, key: bytes });
  }
  return roots;
}

/**
 * Keys of chunks and checkpoints given apart from the ring: `id:base64,older-id:base64`, the current one first. They come before the ring's own, which stay
 * readable.
 */
export function withContentKeys(ring: KeyRing, text: string): ParsedKeyRing {
  const problems: string[] = [];
  const given = text.split(",").map((part) => {
    const [id = "", key] = part.trim().split(":");
    return { id, key };
  });
  const roots = parseRoots("content", given, problems);
  const [current, ...older] = roots;
  if (problems.length > 0 || current === undefined) return { ok: false, problems };
  const own = ring.content.filter((root) => !roots.some((one) => one.id === root.id));
  const differing = ring.content.find((root) => roots.some((one) => one.id === root.id && !one.key.equals(root.key)));
  if (differing !== undefined) return { ok: false, problems: [`key id "${differing.id}" is another key in the key ring`] };
  return { ok: true, ring: { ...ring, content: [current, ...older, ...own] } };
}

export function generateKeyRing(): KeyRing {
  return Object.fromEntries(keyPurposes.map((purpose) => [purpose, [generateRoot()]])) as unknown as KeyRing;
}

/** The same ring with a new current root for one purpose; the old ones stay readable. */
export function withNewRoot(ring: KeyRing, purpose: Exclude<KeyPurpose, "chunk_ids">): KeyRing {
  return { ...ring, [purpose]: [generateRoot(), ...ring[purpose]] };
}

export function keyRingText(ring: KeyRing): string {
  const plain = Object.fromEntries(
    keyPurposes.map((purpose) => [purpose, ring[purpose].map(({ id, key }) => ({ id, key: key.toString("base64") }))]),
  );
  return `${JSON.stringify(plain, null, 2)}\n`;
}

function generateRoot(): RootKey {
  return { id: `k-${randomText(12, "0123456789abcdefghijklmnopqrstuvwxyz")}`, key: randomBytes(rootBytes) };
}
