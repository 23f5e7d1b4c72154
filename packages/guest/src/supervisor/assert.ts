/** A broken assumption of the supervisor itself: a bug, never something that a host or a tenant can cause. */
export function assert(condition: boolean, why: string): asserts condition {
  if (!condition) throw new Error(`Assumption does not hold: ${why}`);
}
