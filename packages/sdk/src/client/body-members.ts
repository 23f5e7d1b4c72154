/** Request bodies from options: members without a value are left out, instants become text (sdk §13). */
import { DefinitionError } from "../errors.ts";
import { shown } from "../json-value.ts";

export function members(body: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

export function instantText(value: string | Date | undefined, label: string): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  if (Number.isNaN(value.getTime())) throw new DefinitionError(`${label} must be a valid date`);
  return value.toISOString();
}

/** A text becomes `{ name }`; so does a queue definition. */
export function queueMember(
  queue: string | { readonly name?: string } | { readonly id: string } | undefined,
): { name?: string } | undefined {
  if (queue === undefined) return undefined;
  if (typeof queue === "string") return { name: queue };
  return "id" in queue ? { name: queue.id } : optional("name", queue.name);
}

/** The id in a text or in an object with one. */
export function idOf(value: string | { readonly id: string }, what: string): string {
  const id = typeof value === "string" ? value : value?.id;
  if (typeof id !== "string" || id.trim() === "")
    throw new DefinitionError(`${what} must be an id or an object with one, and is ${shown(value)}`);
  return id;
}

/** `undefined` members stand for absent ones in results, too. */
export function optional<K extends string, T>(key: K, value: T | undefined): { readonly [P in K]?: T } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: T };
}
