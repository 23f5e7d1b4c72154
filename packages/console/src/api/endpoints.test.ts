import { apiEndpointList } from "@helmr/protocol/api";
import { expect, test } from "vitest";
import { endpoints } from "./endpoints.ts";

const known = new Map(
  apiEndpointList.map(({ id, method, path, family }) => [id, `${method} ${family === "environment" ? "P" : ""}${path}`]),
);

test.each(Object.entries(endpoints))("%s is the endpoint of the protocol", (id, line) => {
  expect(known.get(id)).toBe(line);
});
