/** JSON that people type, and JSON shown as text. */
import type { Json } from "@helmr/protocol/shared";

export type ParsedJson = { ok: true; value: Json | undefined } | { ok: false; message: string };

/** Blank text is no value. The message names line and column where the browser's parser tells the position. */
export function parseJsonText(text: string): ParsedJson {
  if (text.trim() === "") return { ok: true, value: undefined };
  try {
    return { ok: true, value: JSON.parse(text) as Json };
  } catch (error) {
    return { ok: false, message: placed(error instanceof Error ? error.message : String(error), text) };
  }
}

function placed(message: string, text: string): string {
  const reason = message
    .replace(/^JSON\.parse: /, "")
    .replace(/,? ?(\.\.\..*)?is not valid JSON$/, "")
    .replace(/ in JSON/, "");
  if (/line \d+ column \d+/.test(reason)) return reason;
  const position = /position (\d+)/.exec(reason)?.[1];
  if (position === undefined) return reason === "" ? "This is not JSON" : reason;
  const before = text.slice(0, Number(position)).split("\n");
  return `${reason.replace(/ at position \d+.*/, "")} (line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1})`;
}

export function formatJson(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? "";
}

/** One line, cut to a length, for tables. */
export function jsonPreview(value: unknown, max = 80): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}
