/**
 * Results to stdout, talk to stderr. Writes wait for a slow reader, so that following a log does not fill the memory; what has not been
 * written when the process ends is waited for by `flush`.
 */
import type { OutputStream } from "../host.ts";

export class Output {
  readonly #stream: OutputStream;
  #broken: Error | undefined;

  constructor(stream: OutputStream) {
    this.#stream = stream;
    // A reader that went away (`| head`) is not an error of the command; what is written after it is lost.
    stream.on("error", (error) => {
      this.#broken = error;
    });
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  get size(): { cols: number; rows: number } | undefined {
    const { columns, rows } = this.#stream;
    return columns === undefined || rows === undefined || columns <= 0 || rows <= 0 ? undefined : { cols: columns, rows };
  }

  /** True once nobody reads any more. */
  get broken(): boolean {
    return this.#broken !== undefined;
  }

  onResize(listener: () => void): () => void {
    this.#stream.on("resize", listener);
    return () => this.#stream.off("resize", listener);
  }

  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  async lines(texts: readonly string[]): Promise<void> {
    if (texts.length > 0) await this.write(`${texts.join("\n")}\n`);
  }

  json(value: unknown): Promise<void> {
    return this.line(JSON.stringify(value));
  }

  write(bytes: string | Uint8Array): Promise<void> {
    if (this.#broken !== undefined || bytes.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#stream.write(bytes, () => resolve());
    });
  }

  flush(): Promise<void> {
    if (this.#broken !== undefined || this.#stream.writableLength === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#stream.write("", () => resolve());
    });
  }
}
