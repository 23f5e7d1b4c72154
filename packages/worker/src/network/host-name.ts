/** Names as this worker compares them: lower case, ASCII, without the dot at the end. */
import { domainToASCII } from "node:url";

const ruleLabel = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;
const askedLabel = /^[a-z0-9_-]{1,63}$/;

/** A name that somebody wrote into a rule. `undefined` when it is none. */
export function normalizeName(text: string): string | undefined {
  const lower = text.toLowerCase();
  const ascii = /^[\x21-\x7e]*$/.test(lower) ? lower : domainToASCII(lower);
  const name = ascii.endsWith(".") ? ascii.slice(0, -1) : ascii;
  return isName(name, ruleLabel) ? name : undefined;
}

/**
 * A name that a guest asks for, from its labels. Narrower than DNS on purpose: what is looked up, compared with rules and written into
 * messages must be one and the same name, so a label with a dot, a NUL or anything else unusual inside is no name here.
 */
export function nameFromLabels(labels: readonly Buffer[]): string | undefined {
  const name = labels
    .map((label) => label.toString("latin1"))
    .join("\0")
    .toLowerCase();
  const dotted = name.includes(".") ? "" : name.replaceAll("\0", ".");
  return isName(dotted, askedLabel) ? dotted : undefined;
}

function isName(name: string, label: RegExp): boolean {
  const labels = name.split(".");
  return name.length > 0 && name.length <= 253 && labels.every((part) => label.test(part)) && !/^\d+$/.test(labels.at(-1) ?? "");
}

/** `a.example.com` and `a.b.example.com` are below `example.com`; `example.com` itself is not. */
export function isBelow(name: string, parent: string): boolean {
  return name.length > parent.length + 1 && name.endsWith(`.${parent}`);
}
