/** The `Range` header of a read: one range of bytes. Several ranges, and units we do not know, are read as none. */
export interface WantedRange {
  start: number;
  endExclusive: number;
}

export function parseRange(header: string | undefined, size: number): WantedRange | undefined | "unsatisfiable" {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  if (match[1] === "") {
    const last = Number(match[2]);
    return last === 0 || size === 0 ? "unsatisfiable" : { start: Math.max(0, size - last), endExclusive: size };
  }
  const start = Number(match[1]);
  const end = match[2] === "" ? size : Number(match[2]) + 1;
  if (start >= size) return "unsatisfiable";
  return end <= start ? undefined : { start, endExclusive: Math.min(end, size) };
}
