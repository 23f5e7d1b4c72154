/** Two ends of a byte stream in memory. What one end writes is copied, as a socket does. */
import { Duplex } from "node:stream";

export function memoryPair(): [Duplex, Duplex] {
  const left = new MemoryEnd();
  const right = new MemoryEnd();
  left.other = right;
  right.other = left;
  return [left, right];
}

class MemoryEnd extends Duplex {
  other: MemoryEnd | null = null;
  private resumeWriter: (() => void) | null = null;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const { other } = this;
    if (!other || other.destroyed) done();
    else if (other.push(Buffer.from(chunk))) setImmediate(done);
    else other.resumeWriter = done;
  }

  override _final(done: () => void): void {
    this.other?.push(null);
    done();
  }

  override _read(): void {
    const resume = this.resumeWriter;
    this.resumeWriter = null;
    resume?.();
  }

  override _destroy(_error: Error | null, done: () => void): void {
    const { other } = this;
    setImmediate(() => other?.destroy());
    done();
  }
}
