/** Metadata of the run (sdk §3.6). Updates are sent in order and not acknowledged. */
import { DefinitionError } from "../errors.ts";
import { type Json, isPlainObject, jsonText, shown } from "../json-value.ts";
import { boundedCall } from "./bounded-calls.ts";
import type { MetadataOperation } from "./port.ts";

const valueBytesMax = 256 * 1024;

export const metadata: {
  set(key: string, value: Json): Promise<void>;
  patch(object: object): Promise<void>;
  increment(key: string, amount?: number): Promise<void>;
} = Object.freeze({
  async set(key: string, value: Json): Promise<void> {
    await send({ op: "set", key: checkedKey(key), json: jsonText(value, { label: `metadata value "${key}"`, bytesMax: valueBytesMax }) });
  },
  async patch(object: object): Promise<void> {
    if (!isPlainObject(object)) throw new DefinitionError("metadata.patch needs a plain object");
    await send({ op: "patch", json: jsonText(object, { label: "the metadata patch", bytesMax: valueBytesMax }) });
  },
  async increment(key: string, amount = 1): Promise<void> {
    if (typeof amount !== "number" || !Number.isFinite(amount))
      throw new DefinitionError(`metadata.increment needs a finite number, and got ${shown(amount)}`);
    await send({ op: "increment", key: checkedKey(key), amount });
  },
});

async function send(operation: MetadataOperation): Promise<void> {
  await boundedCall({ kind: "metadata", operation });
}

const keyCharactersMax = 1024;

function checkedKey(key: unknown): string {
  if (typeof key !== "string" || key === "" || key.length > keyCharactersMax) {
    throw new DefinitionError(`A metadata key must be a text of 1 to ${keyCharactersMax} characters, and is ${shown(key)}`);
  }
  return key;
}
