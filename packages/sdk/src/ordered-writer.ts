import { DefinitionError } from "./errors.ts";

/**
 * A writer over an append call: writes keep their order also when the caller does not await each of them, the first failure fails all
 * that follow, and after `close` there are no more.
 */
export function orderedWriter<I>(
  name: string,
  append: (data: I) => Promise<unknown>,
): { write(data: I): Promise<void>; close(): Promise<void> } {
  let last: Promise<void> = Promise.resolve();
  let closed = false;
  return {
    write(data: I): Promise<void> {
      if (closed) return Promise.reject(new DefinitionError(`Cannot write to output stream "${name}": its writer is closed`));
      last = last.then(async () => {
        await append(data);
      });
      // Who awaits sees the rejection; who does not must not end the process with it before close() tells.
      last.catch(() => undefined);
      return last;
    },
    close(): Promise<void> {
      closed = true;
      return last;
    },
  };
}
