import { apiKeyScopes } from "@helmr/protocol/api";
import { expect, test } from "vitest";
import { presets, scopeGroups } from "./api-key-scopes.ts";

test("every scope of the protocol can be chosen, once", () => {
  const offered = scopeGroups.flatMap(({ scopes }) => scopes.map(({ scope }) => scope));
  expect(offered.toSorted()).toEqual([...apiKeyScopes].toSorted());
});

test("presets hold scopes that exist", () => {
  for (const { scopes } of presets) expect(apiKeyScopes).toEqual(expect.arrayContaining([...scopes]));
});
