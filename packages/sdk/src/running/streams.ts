import type { PayloadSchema } from "../schema.ts";
import { type InputStreamDefinition, inputStream } from "./input-stream.ts";
import { type OutputStreamDefinition, outputStream } from "./output-stream.ts";

/** Streams of a session, defined at module level (sdk §3.2, §3.3). */
export const streams: {
  input<T, I>(id: string, options: { readonly schema: PayloadSchema<I, T> }): InputStreamDefinition<T, I>;
  input(id: string, options?: { readonly schema?: undefined }): InputStreamDefinition<unknown, unknown>;
  output<T, I>(id: string, options: { readonly schema: PayloadSchema<I, T> }): OutputStreamDefinition<T, I>;
  output(id: string, options?: { readonly schema?: undefined }): OutputStreamDefinition<unknown, unknown>;
} = Object.freeze({
  input: <T, I>(id: string, options?: { readonly schema?: PayloadSchema<I, T> }) => inputStream<T, I>(id, options),
  output: <T, I>(id: string, options?: { readonly schema?: PayloadSchema<I, T> }) => outputStream<T, I>(id, options),
});
