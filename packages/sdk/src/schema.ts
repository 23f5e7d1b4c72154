/** Standard Schema v1 (standardschema.dev): the interface through which zod, valibot, arktype and others describe values. */
import { DefinitionError, PayloadSchemaValidationError } from "./errors.ts";

export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": StandardSchemaV1.Props<Input, Output>;
}

export declare namespace StandardSchemaV1 {
  export interface Props<Input = unknown, Output = Input> {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Result<Output> | Promise<Result<Output>>;
    readonly types?: Types<Input, Output> | undefined;
  }
  export type Result<Output> = SuccessResult<Output> | FailureResult;
  export interface SuccessResult<Output> {
    readonly value: Output;
    readonly issues?: undefined;
  }
  export interface FailureResult {
    readonly issues: ReadonlyArray<Issue>;
  }
  export interface Issue {
    readonly message: string;
    readonly path?: ReadonlyArray<PropertyKey | PathSegment> | undefined;
  }
  export interface PathSegment {
    readonly key: PropertyKey;
  }
  export interface Types<Input = unknown, Output = Input> {
    readonly input: Input;
    readonly output: Output;
  }
}

/** A schema for payloads, streams and wait results. */
export type PayloadSchema<Input = unknown, Output = Input> = StandardSchemaV1<Input, Output>;

/** Refuses what is not a Standard Schema v1, object or function. */
export function checkSchema(schema: unknown, label: string): void {
  const isHolder = (typeof schema === "object" && schema !== null) || typeof schema === "function";
  const standard = isHolder ? (schema as Partial<StandardSchemaV1>)["~standard"] : undefined;
  if (standard?.version === 1 && typeof standard.validate === "function") return;
  throw new DefinitionError(`${label} must be a Standard Schema v1, for example a zod, valibot or arktype schema`);
}

/** The parsed value; throws PayloadSchemaValidationError with the label in front. */
export async function parseWithSchema<Output>(schema: StandardSchemaV1<unknown, Output>, value: unknown, label: string): Promise<Output> {
  const result = await schema["~standard"].validate(value);
  if (result.issues) throw new PayloadSchemaValidationError(label, result.issues);
  return result.value;
}
