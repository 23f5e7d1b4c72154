/**
 * The shortest way from one list of lines to another, greedily along diagonals (E. W. Myers, "An O(ND) Difference Algorithm", 1986). When more than
 * `editsMax` edits are needed the search ends, and what differs is shown as replaced as a whole.
 */
export interface Edit {
  kind: "same" | "removed" | "added";
  /** Lines of each side that come before. */
  left: number;
  right: number;
}

export function lineEdits(a: readonly string[], b: readonly string[], editsMax: number): Edit[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const edits: Edit[] = [];
  for (let at = 0; at < head; at += 1) edits.push({ kind: "same", left: at, right: at });
  const [left, right] = numbered(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  for (const edit of middleEdits(left, right, editsMax)) edits.push({ ...edit, left: edit.left + head, right: edit.right + head });
  for (let at = tail; at > 0; at -= 1) edits.push({ kind: "same", left: a.length - at, right: b.length - at });
  return edits;
}

/** Equal lines as equal numbers: comparing is what the search does most. */
function numbered(a: readonly string[], b: readonly string[]): [Uint32Array, Uint32Array] {
  const numbers = new Map<string, number>();
  const of = (line: string) => {
    const known = numbers.get(line);
    if (known !== undefined) return known;
    numbers.set(line, numbers.size);
    return numbers.size - 1;
  };
  return [Uint32Array.from(a, of), Uint32Array.from(b, of)];
}

function middleEdits(a: Uint32Array, b: Uint32Array, editsMax: number): Edit[] {
  const trace = searchTrace(a, b, Math.min(editsMax, a.length + b.length));
  if (trace === undefined) {
    return [
      ...Array.from(a, (_, at): Edit => ({ kind: "removed", left: at, right: 0 })),
      ...Array.from(b, (_, at): Edit => ({ kind: "added", left: a.length, right: at })),
    ];
  }
  const edits: Edit[] = [];
  let x = a.length;
  let y = b.length;
  for (let d = trace.length - 1; d > 0; d -= 1) {
    const reach = trace[d - 1] as Int32Array;
    const k = x - y;
    const down = k === -d || (k !== d && reachAt(reach, d - 1, k - 1) < reachAt(reach, d - 1, k + 1));
    const before = down ? k + 1 : k - 1;
    const fromX = reachAt(reach, d - 1, before);
    const begin = down ? fromX : fromX + 1;
    for (; x > begin; x -= 1) edits.push({ kind: "same", left: x - 1, right: x - 1 - k });
    y = fromX - before;
    x = fromX;
    edits.push({ kind: down ? "added" : "removed", left: x, right: y });
  }
  while (x > 0) {
    x -= 1;
    y -= 1;
    edits.push({ kind: "same", left: x, right: y });
  }
  return edits.reverse();
}

/** How far each diagonal k of -d..d was reached with d edits; -1 outside. */
function reachAt(reach: Int32Array, d: number, k: number): number {
  return k < -d || k > d ? -1 : (reach[k + d] as number);
}

function searchTrace(a: Uint32Array, b: Uint32Array, editsMax: number): Int32Array[] | undefined {
  const trace: Int32Array[] = [];
  for (let d = 0; d <= editsMax; d += 1) {
    const reach = new Int32Array(2 * d + 1).fill(-1);
    const before = trace[d - 1];
    for (let k = -d; k <= d; k += 2) {
      let x = 0;
      if (before !== undefined) {
        const down = k === -d || (k !== d && reachAt(before, d - 1, k - 1) < reachAt(before, d - 1, k + 1));
        x = down ? reachAt(before, d - 1, k + 1) : reachAt(before, d - 1, k - 1) + 1;
      }
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x += 1;
        y += 1;
      }
      reach[k + d] = x;
      if (x >= a.length && y >= b.length) {
        trace.push(reach);
        return trace;
      }
    }
    trace.push(reach);
  }
  return undefined;
}
