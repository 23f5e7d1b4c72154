/** Which secrets a task gets, and where (sdk §2.6). Checked when the project is indexed, because relative paths depend on the sandbox. */
import { DefinitionError } from "../errors.ts";
import { hasParentPart, normalPath, reservedPathOf } from "./guest-path.ts";
import { validateSecretName } from "./secret-name.ts";
import { shown } from "../json-value.ts";

/** Where the value of a secret goes: an environment variable, a file, or a file of the secret's name in a directory. */
export type Placement =
  | { readonly env: string }
  | { readonly file: string; readonly mode?: string; readonly owner?: string }
  | { readonly dir: string; readonly mode?: string; readonly owner?: string };

export type SecretDecls = readonly ({ readonly name: string } & Placement)[];

export interface SecretData {
  name: string;
  env?: string;
  file?: string;
  dir?: string;
  mode?: string;
  owner?: string;
}

const variablePattern = /^[A-Za-z_][A-Za-z0-9_]*$/;
const modePattern = /^(?:0o)?([0-7]{1,4})$/;
const placements = ["env", "file", "dir"] as const;

/** The declarations, checked; throws DefinitionError with the task's id in the sentence. */
export function secretDeclarations(taskId: string, secrets: unknown): SecretData[] {
  if (secrets === undefined) return [];
  if (!Array.isArray(secrets)) throw new DefinitionError(`secrets of task "${taskId}" must be a list`);
  const seen = new Set<string>();
  return secrets.map((entry: unknown, index) => {
    const label = `secrets[${index}] of task "${taskId}"`;
    const declaration = secretDeclaration(entry, label);
    if (seen.has(declaration.name)) throw new DefinitionError(`${label}: secret "${declaration.name}" is declared twice`);
    seen.add(declaration.name);
    return declaration;
  });
}

function secretDeclaration(entry: unknown, label: string): SecretData {
  if (typeof entry !== "object" || entry === null) throw new DefinitionError(`${label} must be an object with name and env, file or dir`);
  const declared = entry as Record<string, unknown>;
  validateSecretName(declared["name"] as string, `${label}: name`);
  const given = placements.filter((placement) => declared[placement] !== undefined);
  const [placement] = given;
  if (placement === undefined || given.length > 1) throw new DefinitionError(`${label} needs exactly one of env, file and dir`);
  const allowed = placement === "env" ? ["name", "env"] : ["name", placement, "mode", "owner"];
  const unknown = Object.keys(declared).find((key) => declared[key] !== undefined && !allowed.includes(key));
  if (unknown !== undefined)
    throw new DefinitionError(`${label} has an unknown key ${JSON.stringify(unknown)}; allowed are ${allowed.join(", ")}`);
  const name = declared["name"] as string;
  if (placement === "env") return { name, env: checkVariable(declared["env"], label) };
  return { name, [placement]: checkPath(declared[placement], `${label}: ${placement}`), ...modeAndOwner(declared, label) };
}

function checkVariable(value: unknown, label: string): string {
  if (typeof value !== "string" || !variablePattern.test(value)) {
    throw new DefinitionError(`${label}: env must match ${variablePattern.source}, and is ${shown(value)}`);
  }
  if (value.startsWith("LD_"))
    throw new DefinitionError(`${label}: env must not begin with LD_, which would change how programs are loaded`);
  return value;
}

function checkPath(value: unknown, label: string): string {
  if (typeof value !== "string" || value.trim() === "" || value.trim() !== value || value.includes("\0")) {
    throw new DefinitionError(`${label} must be a path without surrounding blanks, and is ${shown(value)}`);
  }
  if (hasParentPart(value)) throw new DefinitionError(`${label} must not contain "..", and is ${shown(value)}`);
  const normal = normalPath(value);
  if (normal === "" || normal === "/") throw new DefinitionError(`${label} must name something, and is ${shown(value)}`);
  const reserved = reservedPathOf(normal);
  if (reserved !== undefined)
    throw new DefinitionError(`${label} must not be at or below the reserved path ${reserved}, and is ${shown(value)}`);
  return normal;
}

function modeAndOwner(declared: Record<string, unknown>, label: string): { mode?: string; owner?: string } {
  const { mode, owner } = declared as { mode?: unknown; owner?: unknown };
  const digits = typeof mode === "string" ? modePattern.exec(mode)?.[1] : undefined;
  if (mode !== undefined && (digits === undefined || Number.parseInt(digits, 8) > 0o777)) {
    throw new DefinitionError(`${label}: mode must be octal text of at most 0777, such as "0600", and is ${shown(mode)}`);
  }
  if (owner !== undefined && (typeof owner !== "string" || owner.trim() === "")) {
    throw new DefinitionError(`${label}: owner must be a user name, and is ${shown(owner)}`);
  }
  return { ...(mode === undefined ? {} : { mode: mode as string }), ...(owner === undefined ? {} : { owner }) };
}
