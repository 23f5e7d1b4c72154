/** Bugs, not outcomes: what is thrown here means that our own code is wrong (house §5, errors kind 3). */
export class Bug extends Error {
  override name = "Bug";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Bug(message);
}

/** For what must not be called as things are. */
export function unreachable(message: string): never {
  throw new Bug(message);
}

export function assertNever(value: never): never {
  throw new Bug(`Unexpected value: ${JSON.stringify(value)}`);
}

export function required<T>(value: T | null | undefined, message: string): T {
  if (value === null || value === undefined) throw new Bug(message);
  return value;
}
