/**
 * `ignore` of source.directory: patterns as in a .dockerignore, relative to the directory that is copied. A pattern that matches a directory takes
 * everything below with it; a later `!pattern` brings back what it matches; the last word counts. `.git` is always left out.
 */
export type IgnoreFilter = (path: string) => boolean;

interface Rule {
  matches: RegExp;
  negated: boolean;
}

export function ignoreFilter(patterns: readonly string[]): IgnoreFilter {
  const rules = patterns.flatMap((pattern) => ruleOf(pattern) ?? []);
  return (path) => {
    const parts = path.split("/");
    if (parts.includes(".git")) return true;
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
    let ignored = false;
    for (const { matches, negated } of rules)
      if (ignored === negated && prefixes.some((prefix) => matches.test(prefix))) ignored = !negated;
    return ignored;
  };
}

function ruleOf(text: string): Rule | undefined {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed.startsWith("#")) return undefined;
  const negated = trimmed.startsWith("!");
  const parts = (negated ? trimmed.slice(1) : trimmed).split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length === 0) return undefined;
  return { matches: new RegExp(`^${expressionOf(parts)}$`), negated };
}

function expressionOf(parts: readonly string[]): string {
  let expression = "";
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1;
    if (part === "**") expression += isLast ? ".*" : "(?:[^/]+/)*";
    else expression += partExpression(part) + (isLast ? "" : "/");
  }
  return expression;
}

/** `*`, `?`, `[a-z]`, `[^a]` and `\` as in Go's path matching; `**` inside a name is a `*`. */
function partExpression(part: string): string {
  let expression = "";
  for (let at = 0; at < part.length; at += 1) {
    const character = part[at] as string;
    if (character === "*") expression += "[^/]*";
    else if (character === "?") expression += "[^/]";
    else if (character === "\\") {
      at += 1;
      expression += escaped(part[at] ?? "\\");
    } else if (character === "[") {
      const set = /^\[(\^?)((?:\\.|[^\]\\])+)\]/.exec(part.slice(at));
      if (set === null) expression += "\\[";
      else {
        expression += `[${set[1]}${(set[2] as string).replaceAll(/\\(.)|([[\]^])/g, (_, quoted: string | undefined, plain: string | undefined) => `\\${quoted ?? plain}`)}]`;
        at += set[0].length - 1;
      }
    } else expression += escaped(character);
  }
  return expression;
}

function escaped(character: string): string {
  return character.replaceAll(/[.*+?^${}()|[\]\\/-]/g, String.raw`\$&`);
}
