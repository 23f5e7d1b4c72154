/** For what cannot happen unless we made a mistake. */
export function unreachable(what: string): never {
  throw new Error(`unreachable: ${what}`);
}
