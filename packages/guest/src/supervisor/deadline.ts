/** Time that only counts on the guest's monotonic clock: it stands still while the machine is parked, and no wall clock can move it. */

/** Calls back once the time is over; `extend` starts it anew. */
export class Deadline {
  private timer: NodeJS.Timeout | undefined;
  private readonly onPassed: () => void;

  constructor(onPassed: () => void) {
    this.onPassed = onPassed;
  }

  extend(ms: number): void {
    clearTimeout(this.timer);
    // setTimeout takes at most 2^31 - 1.
    this.timer = setTimeout(this.onPassed, Math.min(ms, 0x7fff_ffff));
  }

  clear(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

/** Active time of a program: runs from `start` to `stop`, stands still while anything is waited for. */
export class ActiveClock {
  private spentMs = 0;
  private since: number | undefined;
  private waits = 0;
  private running = false;
  private readonly limitMs: number;
  private readonly deadline: Deadline;

  constructor(limitMs: number, onUsedUp: () => void) {
    this.limitMs = limitMs;
    this.deadline = new Deadline(onUsedUp);
  }

  start(): void {
    this.running = true;
    this.update();
  }

  stop(): void {
    this.running = false;
    this.update();
  }

  waitOpened(): void {
    this.waits += 1;
    this.update();
  }

  waitClosed(): void {
    this.waits -= 1;
    this.update();
  }

  get activeMs(): number {
    return Math.round(this.spentMs + (this.since === undefined ? 0 : performance.now() - this.since));
  }

  private update(): void {
    const counts = this.running && this.waits === 0;
    if (counts && this.since === undefined) {
      this.since = performance.now();
      this.deadline.extend(Math.max(0, this.limitMs - this.spentMs));
    } else if (!counts && this.since !== undefined) {
      this.spentMs += performance.now() - this.since;
      this.since = undefined;
      this.deadline.clear();
    }
  }
}
