/**
 * State machines as data: one table per machine says which event leads from where to where. Everything else is derived from the table: the
 * predicates of operations, the guards of SQL statements, the `can_*` flags of views and docs/reference/states.md.
 */
export type Transition<State extends string> = { readonly from: readonly State[]; readonly to: State };
export type Transitions<State extends string, Event extends string = string> = Readonly<Record<Event, Transition<State>>>;

export function can<State extends string>(transition: Transition<State>, state: State): boolean {
  return transition.from.includes(state);
}

/** `in ('queued', 'leased')`: the guard of a statement that carries out the transition. State names are ours, never input. */
export function inStates(states: readonly string[]): string {
  return `in (${states.map((state) => `'${state}'`).join(", ")})`;
}

/** Every state that a table leads from or to, in the order of their first appearance. */
export function statesOf<State extends string>(table: Transitions<State>): State[] {
  const states = new Set<State>();
  for (const { from, to } of Object.values<Transition<State>>(table)) {
    for (const state of from) states.add(state);
    states.add(to);
  }
  return [...states];
}
