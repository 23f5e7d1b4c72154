/** Colours of terminal output (SGR sequences). Everything else that a terminal would obey is left out of the text. */

export interface AnsiPart {
  text: string;
  /** 0 to 15. */
  color?: number;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  underline?: boolean;
}

// oxlint-disable-next-line no-control-regex -- control sequences are what is looked for
const sequence = /\u001b(?:\[([0-9;:?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
// oxlint-disable-next-line no-control-regex -- as above
const control = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

export function hasAnsi(text: string): boolean {
  return text.includes("\u001b");
}

export function stripAnsi(text: string): string {
  return (hasAnsi(text) ? text.replace(sequence, "") : text).replace(control, "");
}

export function ansiParts(text: string): AnsiPart[] {
  const parts: AnsiPart[] = [];
  let style: Omit<AnsiPart, "text"> = {};
  let from = 0;
  const add = (until: number) => {
    const piece = text.slice(from, until).replace(control, "");
    if (piece !== "") parts.push({ text: piece, ...style });
  };
  for (const match of text.matchAll(sequence)) {
    add(match.index);
    from = match.index + match[0].length;
    if (match[2] === "m") style = styled(style, match[1] ?? "");
  }
  add(text.length);
  return parts;
}

function styled(before: Omit<AnsiPart, "text">, codes: string): Omit<AnsiPart, "text"> {
  const style = { ...before };
  const numbers = codes === "" ? [0] : codes.split(/[;:]/).map(Number);
  for (let at = 0; at < numbers.length; at += 1) {
    const code = numbers[at] ?? 0;
    if (code === 0) return styled({}, numbers.slice(at + 1).join(";") || "22");
    if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 22) {
      delete style.bold;
      delete style.dim;
    } else if (code === 23) delete style.italic;
    else if (code === 24) delete style.underline;
    else if (code === 39) delete style.color;
    else if (code >= 30 && code <= 37) style.color = code - 30;
    else if (code >= 90 && code <= 97) style.color = code - 82;
    else if (code === 38 || code === 48) {
      // 256 and true colours: the first sixteen are ours, the others stay uncoloured.
      const color = numbers[at + 1] === 5 ? numbers[at + 2] : undefined;
      if (code === 38 && color !== undefined && color < 16) style.color = color;
      at += numbers[at + 1] === 5 ? 2 : 4;
    }
  }
  return style;
}
