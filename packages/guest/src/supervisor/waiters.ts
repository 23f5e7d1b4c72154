/** Callbacks that wait for one condition; each is called once. */
export class Waiters {
  private callbacks: (() => void)[] = [];

  add(callback: () => void): void {
    this.callbacks.push(callback);
  }

  release(): void {
    if (this.callbacks.length === 0) return;
    const { callbacks } = this;
    this.callbacks = [];
    for (const callback of callbacks) callback();
  }
}
