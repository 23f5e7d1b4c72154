import { describe, expect, it } from "vitest";
import { missing, pages, tidy } from "./tidy.ts";

const messages = (path: string, text: string) => tidy([{ path, text }]).map((finding) => finding.message);

describe("tidy()", () => {
  it.each([
    ["packages/protocol/src/api/x.ts", 'import { readFile } from "node:fs/promises";', /no node: module/],
    ["packages/worker/src/run/x.ts", 'import { x } from "@helmr/server";', /must not import @helmr\/server/],
    ["packages/worker/src/run/x.ts", 'import pg from "pg";', /only the server's store/],
    ["packages/server/src/http/api/x.ts", 'import { x } from "../../store/runs.ts";', /must not import server\/store/],
    ["packages/server/src/domain/x.ts", 'import { x } from "../operations/start-session.ts";', /must not import server\/operations/],
    ["packages/cli/src/x.ts", 'import { x } from "../../server/src/x.ts";', /leaves the package/],
    ["packages/guest/src/supervisor/x.ts", 'import { x } from "@helmr/sdk/runtime";', /the supervisor must not/],
    ["packages/cli/src/utils.ts", "", /says nothing/],
    ["packages/cli/src/camelCase.ts", "", /kebab-case/],
    ["packages/cli/src/x.ts", 'throw new Error("x");', /name of its own/],
    ["packages/cli/src/x.ts", `// TODO: later`, /names its issue/],
    ["packages/cli/src/x.test.ts", "it.only(", /hides every other test/],
    ["packages/server/migrations/0001_x.sql", "select 1;", /older binaries/],
    ["packages/server/src/x.e2e.ts", "", /belongs in test\/e2e/],
    ["packages/worker/src/run/x.ts", "// firecracker", /knows that monitor/],
  ])("reports %s: %s", (path, text, message) => {
    expect(messages(path, text)).toEqual([expect.stringMatching(message)]);
  });

  it.each([
    ["packages/server/src/operations/x.ts", 'import { x } from "../store/runs.ts";\nimport { y } from "../domain/run.ts";'],
    ["packages/server/src/store/x.pg.test.ts", 'import { testDatabase } from "@helmr/test/services";'],
    ["packages/cli/src/x.ts", 'import type { Run } from "@helmr/protocol/api";'],
    ["packages/cli/src/x.ts", "// TODO(#12): later"],
  ])("accepts %s", (path, text) => {
    expect(messages(path, text)).toEqual([]);
  });
});

describe("missing()", () => {
  it("asks for a database test beside each operation", () => {
    expect(missing(["packages/server/src/operations/start-session.ts"])).toHaveLength(1);
    expect(missing(["packages/server/src/operations/start-session.ts", "packages/server/src/operations/start-session.pg.test.ts"])).toEqual(
      [],
    );
  });
});

describe("pages()", () => {
  const of = (text: string) =>
    pages([{ path: "docs/guides/x.md", text }], ["docs/guides/y.md", "packages/server/src/http/sse.ts"]).map((finding) => finding.message);

  it.each([
    ["see `http/see.ts`", "there is no http/see.ts"],
    ["see [y](z.md)", "there is no z.md"],
    ["see [y](../../packages/servers)", "there is no ../../packages/servers"],
  ])("reports %s", (text, message) => {
    expect(of(text)).toEqual([message]);
  });

  it.each([
    "`http/sse.ts`",
    "`sse.ts`",
    "[y](y.md#part)",
    "[code](../../packages/server/src)",
    "`server/src/http/NNNN_what.ts`",
    "[web](https://x.org/a)",
  ])("accepts %s", (text) => {
    expect(of(text)).toEqual([]);
  });
});
