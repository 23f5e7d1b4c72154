import { errorDefinitions } from "@helmr/protocol/shared";
import { expect, test } from "vitest";
import { nextSteps } from "./next-steps.ts";

test("every error code has the next step of the protocol's catalogue", () => {
  expect(nextSteps).toEqual(Object.fromEntries(Object.entries(errorDefinitions).map(([code, { next }]) => [code, next])));
});
