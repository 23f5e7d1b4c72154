/** Columns padded to their widest cell, two blanks apart; nothing trails. */
export function alignedTable(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** One row of a list: cells between tabs. A tab or line break inside a cell would make another row of it. */
export function tabbed(...cells: (string | number | undefined)[]): string {
  return cells.map((cell) => String(cell ?? "").replace(/[\t\r\n]+/g, " ")).join("\t");
}
