/**
 * One sentence for a value that a schema refused: the `error` text of a 400. Zod's own texts describe schemas; these name the field and
 * what it must be.
 */
import type * as z from "zod";
import { type ErrorCode, errorDefinitions } from "./errors.ts";

type Issue = z.core.$ZodIssue;

export type Parsed<T> = { ok: true; value: T } | { ok: false; text: string; code?: ErrorCode };

/** Parses input of a client. The only place that should call `safeParse` on what a client sent. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): Parsed<z.output<Schema>> {
  const result = schema.safeParse(input, { reportInput: true });
  if (result.success) return { ok: true, value: result.data };
  const code = firstIssueCode(result.error);
  return { ok: false, text: firstIssueText(result.error), ...(code === undefined ? {} : { code }) };
}

/** `priority must be an integer between -2147483648 and 2147483647`, `unknown field "foo"`. */
export function firstIssueText(error: z.core.$ZodError): string {
  const issue = error.issues[0];
  return issue === undefined ? "the request is invalid" : issueText(issue, []);
}

/** The stable code of http §1.2 that the rule itself carries (`params.code` of a custom issue), if any. */
export function firstIssueCode(error: z.core.$ZodError): ErrorCode | undefined {
  const issue = error.issues[0];
  if (issue?.code !== "custom") return undefined;
  const code: unknown = issue.params?.["code"];
  return typeof code === "string" && code in errorDefinitions ? (code as ErrorCode) : undefined;
}

function issueText(issue: Issue, outer: readonly PropertyKey[]): string {
  const path = [...outer, ...issue.path];
  if (issue.code === "unrecognized_keys") return `unknown field "${pathText([...path, issue.keys[0] ?? ""])}"`;
  if (issue.code === "invalid_union") {
    const branch = closestBranch(issue.errors);
    if (branch) return issueText(branch, path);
  }
  if ((issue.code === "invalid_key" || issue.code === "invalid_element") && issue.issues[0]) return issueText(issue.issues[0], path);
  // Zod's own texts begin with a capital letter, ours never do.
  const own = /^[^A-Z]/.test(issue.message);
  const text = own ? issue.message : predicate(issue);
  return isPredicate(text) ? `${path.length === 0 ? "the request body" : pathText(path)} ${text}` : text;
}

/** The branch that came furthest: its first problem lies deepest. None when every branch failed at the value itself. */
function closestBranch(branches: readonly (readonly Issue[])[]): Issue | undefined {
  let best: Issue | undefined;
  for (const [issue] of branches) {
    if (issue && issue.path.length > (best?.path.length ?? 0)) best = issue;
  }
  return best;
}

const predicateStart = /^(must|may|is|has|needs) /;
const isPredicate = (text: string): boolean => predicateStart.test(text);

const typeNames: Record<string, string> = {
  string: "a string",
  number: "a number",
  int: "an integer",
  boolean: "true or false",
  object: "a JSON object",
  record: "a JSON object",
  array: "an array",
  null: "null",
};

function predicate(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      if ("input" in issue && issue.input === undefined) return "is required";
      if (issue.expected === "never") return "is not accepted";
      return `must be ${typeNames[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      if ("input" in issue && issue.input === undefined) return "is required";
      return `must be ${issue.values.length > 1 ? "one of " : ""}${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
    case "too_small":
      return sizeText(issue.origin, Number(issue.minimum), "at least");
    case "too_big":
      return sizeText(issue.origin, Number(issue.maximum), "at most");
    case "invalid_format":
      return issue.format === "email" ? "must be an e-mail address" : "has an invalid format";
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_union":
      // A discriminated union without a branch for the value of its discriminator.
      if ("options" in issue && Array.isArray(issue.options))
        return `must be one of ${issue.options.map((option) => JSON.stringify(option)).join(", ")}`;
      break;
    case "custom":
    case "invalid_element":
    case "invalid_key":
    case "unrecognized_keys":
      break;
  }
  return "has none of the accepted forms";
}

function sizeText(origin: string, bound: number, relation: "at least" | "at most"): string {
  if (relation === "at least" && bound === 1 && (origin === "string" || origin === "array")) return "must not be empty";
  if (origin === "string") return `must have ${relation} ${bound} characters`;
  if (origin === "array") return `must have ${relation} ${bound} entries`;
  return `must be ${relation} ${bound}`;
}

/** `retry.backoff.minMs`, `tags[2]`. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? String(part) : `.${String(part)}`;
  }
  return text;
}
