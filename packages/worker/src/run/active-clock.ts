/** Time the user's code is active: from its start to its end, without the time in which at least one wait is open. */
export class ActiveClock {
  private spentMs = 0;
  private since: number | undefined;
  private waits = 0;
  private running = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly limitMs: number;
  private readonly onLimit: () => void;

  constructor(limitMs: number, onLimit: () => void) {
    this.limitMs = limitMs;
    this.onLimit = onLimit;
  }

  get activeMs(): number {
    return Math.round(this.spentMs + (this.since === undefined ? 0 : performance.now() - this.since));
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
    this.waits = Math.max(0, this.waits - 1);
    this.update();
  }

  private update(): void {
    const active = this.running && this.waits === 0;
    clearTimeout(this.timer);
    if (this.since !== undefined) this.spentMs += performance.now() - this.since;
    this.since = active ? performance.now() : undefined;
    // setTimeout knows at most 2^31 - 1 ms; a run's limit is a day.
    if (active) this.timer = setTimeout(this.onLimit, Math.max(0, this.limitMs - this.spentMs));
  }
}
