/** The time, shared by everything that shows how long ago something was: one timer per pace for the whole page. */
import { useSyncExternalStore } from "react";

class Clock {
  #now = Date.now();
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #paceMs: number;

  constructor(paceMs: number) {
    this.#paceMs = paceMs;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => {
      this.#now = Date.now();
      for (const each of this.#listeners) each();
    }, this.#paceMs);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  };

  readonly read = (): number => {
    // Nobody listened for a while: what is kept is old.
    if (this.#timer === undefined && Date.now() - this.#now > this.#paceMs) this.#now = Date.now();
    return this.#now;
  };
}

const slow = new Clock(5_000);
const fast = new Clock(500);
const still = () => () => undefined;

export function useNow(pace: "fast" | "slow" | "still" = "slow"): number {
  const clock = pace === "fast" ? fast : slow;
  return useSyncExternalStore(pace === "still" ? still : clock.subscribe, clock.read);
}
