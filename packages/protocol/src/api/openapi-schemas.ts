/** Zod schemas as JSON Schema components of an OpenAPI 3.1 document. */
import * as z from "zod";
import { canonicalJson, type Json, type JsonObject } from "../shared/index.ts";

type JsonSchema = JsonObject;

/** Collects named components while schemas are converted. */
export class SchemaComponents {
  readonly schemas: Record<string, JsonSchema> = {};
  /** Names that two different schemas claim: a bug in the contracts, which a test looks for. */
  readonly conflicts = new Set<string>();

  /** The schema of what a client sends or receives; parts with a `meta.id` become references. */
  convert(schema: z.ZodType): JsonSchema {
    const { $schema: _dialect, $defs, id, ...rest } = z.toJSONSchema(schema, { io: "input" }) as unknown as Record<string, Json>;
    for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, JsonSchema>)) this.#put(name, definition);
    const own = tidy(rest) as JsonSchema;
    if (typeof id !== "string") return own;
    this.#put(id, own);
    return reference(id);
  }

  /** As `convert`, but a schema without an id of its own is put under `name`. */
  named(name: string, schema: z.ZodType): JsonSchema {
    const converted = this.convert(schema);
    if (typeof converted["$ref"] === "string") return converted;
    this.#put(name, converted);
    return reference(name);
  }

  #put(name: string, definition: JsonSchema): void {
    const { id: _id, ...rest } = definition;
    const tidied = tidy(rest) as JsonSchema;
    const present = this.schemas[name];
    if (present === undefined) this.schemas[name] = tidied;
    else if (canonicalJson(present) !== canonicalJson(tidied)) this.conflicts.add(name);
  }
}

export function reference(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** Points references at the components and drops the bounds of safe integers, which say nothing. */
function tidy(value: Json): Json {
  if (Array.isArray(value)) return value.map(tidy);
  if (typeof value !== "object" || value === null) return value;
  const result: JsonObject = {};
  for (const [key, member] of Object.entries(value)) {
    if (key === "$ref" && typeof member === "string") result[key] = member.replace("#/$defs/", "#/components/schemas/");
    else if (key === "maximum" && member === Number.MAX_SAFE_INTEGER) continue;
    else if (key === "minimum" && member === Number.MIN_SAFE_INTEGER) continue;
    else result[key] = tidy(member);
  }
  return result;
}

export interface ParameterSchema {
  name: string;
  required: boolean;
  description?: string;
  schema: JsonSchema;
}

/** The members of an object schema as parameters. `meta.param` replaces the schema of the text that travels. */
export function parameterSchemas(components: SchemaComponents, schema: z.ZodType): ParameterSchema[] {
  const { properties, required } = components.convert(schema);
  const names = new Set((required ?? []) as string[]);
  return Object.entries((properties ?? {}) as Record<string, JsonSchema>).map(([name, property]) => {
    const { param, description, ...own } = property;
    return {
      name,
      required: names.has(name),
      ...(typeof description === "string" ? { description } : {}),
      schema: (param as JsonSchema | undefined) ?? own,
    };
  });
}
