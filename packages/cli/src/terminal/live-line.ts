/**
 * One line at the bottom of an interactive terminal that shows what is going on; other lines are printed above it. On anything else it
 * does not exist and only the lines are printed.
 */
import type { Output } from "./output.ts";

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const frameMs = 100;
const clearLine = "\r\u001b[2K";

export class LiveLine {
  readonly #output: Output;
  readonly #enabled: boolean;
  #text: string | undefined;
  #frame = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(output: Output, enabled: boolean) {
    this.#output = output;
    this.#enabled = enabled;
  }

  show(text: string): void {
    this.#text = text;
    if (!this.#enabled) return;
    this.#timer ??= setInterval(() => this.#draw(), frameMs).unref();
    this.#draw();
  }

  async print(line: string): Promise<void> {
    await this.#output.line(this.#shown ? `${clearLine}${line}` : line);
    if (this.#shown) this.#draw();
  }

  /** Takes the line away. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    const shown = this.#shown;
    this.#text = undefined;
    if (shown) await this.#output.write(clearLine);
  }

  get #shown(): boolean {
    return this.#enabled && this.#text !== undefined;
  }

  #draw(): void {
    const width = (this.#output.size?.cols ?? 80) - 3;
    this.#frame = (this.#frame + 1) % frames.length;
    void this.#output.write(`${clearLine}${frames[this.#frame]} ${(this.#text ?? "").slice(0, Math.max(10, width))}`);
  }
}

/** Shows what is waited for while it is waited for. */
export async function whileShowing<T>(on: { err: Output; interactive: boolean }, text: string, work: () => Promise<T>): Promise<T> {
  const live = new LiveLine(on.err, on.interactive);
  live.show(text);
  try {
    return await work();
  } finally {
    await live.end();
  }
}
