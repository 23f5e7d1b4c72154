/** Watches a machine and its channel: what their end means, whichever is seen first. */
import { pause } from "../host/pause.ts";
import type { HostVerdict } from "./run-end.ts";
import { exitVerdict } from "./run-failure.ts";
import type { GuestMachine } from "../guest/guest-machine.ts";

/** A machine that ended says so this soon after its channel. */
const exitSayMs = 1_000;

/** May be told more than once; the first counts. */
export function watchMachine({ machine, link }: GuestMachine, onEnd: (verdict: HostVerdict) => void): void {
  void machine.exited.then((exit) => onEnd(exitVerdict(exit)));
  void link.closed.then(async (end) => {
    if (end.kind === "violation") return onEnd({ kind: "guest_violation", message: end.message });
    // The machine usually ended, and its exit says why.
    const exit = await Promise.race([machine.exited, pause(exitSayMs)]);
    return onEnd(exit === undefined ? { kind: "guest_died", message: "its channel was closed" } : exitVerdict(exit));
  });
}
