/** Bytes for a process, in order: a repeat is dropped, a gap is asked for. Read once, by the stream to the guest. */
export class InputFeed implements AsyncIterable<Uint8Array> {
  /** Everything below this offset has been fed. */
  have: number;
  private readonly parts: Uint8Array[] = [];
  private over = false;
  private wake: () => void = () => {};

  constructor(from: number) {
    this.have = from;
  }

  /** False: bytes before these are missing. */
  push(offset: number, data: Uint8Array): boolean {
    if (offset > this.have) return false;
    const fresh = data.subarray(Math.min(data.length, this.have - offset));
    if (fresh.length === 0 || this.over) return true;
    this.parts.push(fresh);
    this.have += fresh.length;
    this.wake();
    return true;
  }

  /** No more bytes. */
  end(): void {
    this.over = true;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const part = this.parts.shift();
      if (part !== undefined) yield part;
      else if (this.over) return;
      else
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
    }
  }
}
