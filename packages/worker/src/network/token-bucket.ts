/** A rate with a burst. Times are milliseconds. */
export class TokenBucket {
  private tokens: number;
  private at: number;
  private readonly burst: number;
  private readonly perSecond: number;

  constructor(options: { burst: number; perSecond: number; now: number }) {
    this.burst = options.burst;
    this.perSecond = options.perSecond;
    this.tokens = options.burst;
    this.at = options.now;
  }

  take(now: number): boolean {
    // A clock that was set back earns nothing.
    this.tokens = Math.min(this.burst, this.tokens + (Math.max(0, now - this.at) * this.perSecond) / 1000);
    this.at = now;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }

  /** Milliseconds until the next token, after `take` refused one. */
  get waitMs(): number {
    return Math.max(1, Math.ceil(((1 - this.tokens) * 1000) / this.perSecond));
  }
}
