/** Bytes of a stream, cut wherever they were read, as whole lines. A character may be cut, too. */
export class LineSplitter {
  readonly #decoder = new TextDecoder();
  #rest = "";

  take(bytes: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.map(withoutReturn);
  }

  /** What stands behind the last line break when nothing more comes. */
  end(): string[] {
    const last = this.#rest + this.#decoder.decode();
    this.#rest = "";
    return last === "" ? [] : [withoutReturn(last)];
  }
}

/** Of a line that was overwritten again and again (a progress bar) the last state is kept. */
function withoutReturn(line: string): string {
  const whole = line.endsWith("\r") ? line.slice(0, -1) : line;
  return whole.slice(whole.lastIndexOf("\r") + 1);
}
