import { DefinitionError } from "../errors.ts";
import { shown } from "../json-value.ts";

const nameLengthMax = 128;
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

/** Throws when a secret cannot have this name (sdk §2.6). */
export function validateSecretName(name: string, label = "secret name"): void {
  if (typeof name !== "string" || name === "") throw new DefinitionError(`${label} must not be empty`);
  if (name.length > nameLengthMax)
    throw new DefinitionError(`${label} must have at most ${nameLengthMax} characters, and has ${name.length}`);
  if (!namePattern.test(name)) {
    throw new DefinitionError(
      `${label} must begin with a letter or digit and hold only letters, digits, "_", "." and "-", and is ${shown(name)}`,
    );
  }
}
