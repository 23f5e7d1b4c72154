/** What a task asks a person, when it says so in the metadata of a token or a wait. */
const names = ["question", "title", "prompt", "message"] as const;

export function questionOf(metadata: unknown): string | undefined {
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) return undefined;
  for (const name of names) {
    const value = (metadata as Record<string, unknown>)[name];
    if (typeof value === "string" && value.trim() !== "") return value;
  }
  return undefined;
}

/** Everything else that it says. */
export function withoutQuestion(metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const name = names.find((each) => typeof metadata[each] === "string" && metadata[each].trim() !== "");
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => key !== name));
}
