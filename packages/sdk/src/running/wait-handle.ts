/**
 * Results of waits (sdk §3.4). A handle is lazy, thenable and memoised: its call is sent by the first `await`, `then` or `unwrap`, once.
 */
import type { Json } from "../json-value.ts";

/** What a wait without a schema can give. */
export type WaitJson = Json;

export type WaitResult<T> =
  | { readonly ok: true; readonly data: T; readonly error?: undefined; unwrap(): T }
  | { readonly ok: false; readonly data?: undefined; readonly error: Error; unwrap(): never };

export interface WaitHandle<T> extends PromiseLike<WaitResult<T>> {
  /** The data, or a rejection with the result's error. */
  unwrap(): Promise<T>;
}

export interface WaitDelayHandle extends PromiseLike<void> {
  unwrap(): Promise<void>;
}

export function completed<T>(data: T): WaitResult<T> {
  return { ok: true, data, unwrap: () => data };
}

export function failed<T>(error: Error): WaitResult<T> {
  return {
    ok: false,
    error,
    unwrap: () => {
      throw error;
    },
  };
}

export function waitHandle<T>(start: () => Promise<WaitResult<T>>): WaitHandle<T> {
  const result = once(start);
  return {
    // oxlint-disable-next-line unicorn/no-thenable -- a handle is meant to be awaited
    then: (onfulfilled, onrejected) => result().then(onfulfilled, onrejected),
    unwrap: async () => (await result()).unwrap(),
  };
}

export function delayHandle(start: () => Promise<void>): WaitDelayHandle {
  const result = once(start);
  return {
    // oxlint-disable-next-line unicorn/no-thenable -- a handle is meant to be awaited
    then: (onfulfilled, onrejected) => result().then(onfulfilled, onrejected),
    unwrap: () => result(),
  };
}

function once<T>(start: () => Promise<T>): () => Promise<T> {
  let started: Promise<T> | undefined;
  return () => (started ??= start());
}
