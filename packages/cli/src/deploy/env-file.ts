/** `deploy --env-file` (cli §5.2): variables for the evaluation of helmr.config.ts. What the process already has wins. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { namePattern } from "@helmr/protocol/shared";
import { Failure, reasonOf } from "../failure.ts";

export async function readEnvFile(directory: string, file: string): Promise<Record<string, string>> {
  let content: string;
  try {
    content = await readFile(path.resolve(directory, file), "utf8");
  } catch (error) {
    throw new Failure(`cannot read --env-file ${file}: ${reasonOf(error)}`, { cause: error });
  }
  return parseEnvFile(content, file);
}

/** `file` is for the errors only. */
export function parseEnvFile(content: string, file: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const [index, line] of content
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    const text = withoutComment(line).trim();
    if (text === "") continue;
    const problem = (what: string) => new Failure(`${file}:${index + 1}: ${what}`);
    const assignment = text.replace(/^export[ \t]+/, "");
    const at = assignment.indexOf("=");
    const name = assignment.slice(0, Math.max(0, at)).trim();
    if (at === -1) throw problem("expected KEY=VALUE");
    if (!namePattern.environmentVariable.test(name)) throw problem(`${JSON.stringify(name)} is not a name of a variable`);
    if (name.startsWith("HELMR_"))
      throw problem(`${name} cannot be set here: names that begin with HELMR_ configure the command line itself`);
    const value = unquoted(assignment.slice(at + 1).trim());
    if (typeof value !== "string") throw problem(`${name} ${value.problem}`);
    variables[name] = value;
  }
  return variables;
}

/** A `#` begins a comment at the start of the line or behind a blank, outside of quotes. */
function withoutComment(line: string): string {
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const character = line[at] as string;
    if (quote === '"' && character === "\\") at += 1;
    else if (quote !== "") quote = character === quote ? "" : quote;
    else if (character === '"' || character === "'") quote = character;
    else if (character === "#" && (at === 0 || line[at - 1] === " " || line[at - 1] === "\t")) return line.slice(0, at);
  }
  return line;
}

const escapes: Record<string, string> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\" };

function unquoted(text: string): string | { problem: string } {
  const quote = text[0];
  if (quote !== '"' && quote !== "'") return text;
  let value = "";
  for (let at = 1; at < text.length; at += 1) {
    const character = text[at] as string;
    if (character === quote) return at === text.length - 1 ? value : { problem: "has text behind its closing quote" };
    if (quote === '"' && character === "\\") {
      at += 1;
      const escape = text[at] ?? "";
      // An escape that is not known stays as it was written.
      value += escapes[escape] ?? `\\${escape}`;
    } else {
      value += character;
    }
  }
  return { problem: "has a quote without an end" };
}
