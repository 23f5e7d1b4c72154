/** A unified diff as rows with the numbers of their lines on both sides. */
export interface DiffRow {
  kind: "hunk" | "added" | "removed" | "same" | "note";
  text: string;
  before?: number;
  after?: number;
}

export function diffRows(unified: string): DiffRow[] {
  const rows: DiffRow[] = [];
  let before = 0;
  let after = 0;
  let inHunk = false;
  for (const line of unified.replace(/\n$/, "").split("\n")) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(line);
    if (hunk) {
      before = Number(hunk[1]);
      after = Number(hunk[2]);
      inHunk = true;
      rows.push({ kind: "hunk", text: line });
    } else if (!inHunk) continue;
    else if (line.startsWith("+")) rows.push({ kind: "added", text: line.slice(1), after: after++ });
    else if (line.startsWith("-")) rows.push({ kind: "removed", text: line.slice(1), before: before++ });
    else if (line.startsWith("\\")) rows.push({ kind: "note", text: line.slice(2) });
    else rows.push({ kind: "same", text: line.slice(1), before: before++, after: after++ });
  }
  return rows;
}
