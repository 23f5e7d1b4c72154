/** The query of an address as plain texts: the router's own parser turns `code=12345678` into a number and breaks codes and states. */

export type SearchParams = Record<string, string>;

export function parseSearch(text: string): SearchParams {
  return Object.fromEntries(new URLSearchParams(text));
}

/** Absent and empty members are left out. */
export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) {
    if (typeof value === "string" && value !== "") params.set(key, value);
  }
  return params.size === 0 ? "" : `?${params}`;
}
