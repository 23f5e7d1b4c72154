import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { defaultUserRange, findIsolation } from "./host-isolation.ts";

const run = promisify(execFile);
const asRoot = process.getuid?.() === 0;

describe("findIsolation()", () => {
  test("says what protects the host", async () => {
    expect((await findIsolation()).explanation.length).toBeGreaterThan(20);
  });

  test.runIf(asRoot)("gives every machine a user of its own, until it is given back", async () => {
    const isolation = await findIsolation({ first: defaultUserRange.first, count: 3 });
    const users = [isolation.acquireUser(), isolation.acquireUser(), isolation.acquireUser()].map((user) => user?.uid);
    expect(users).toEqual([0, 1, 2].map((offset) => defaultUserRange.first + offset));
    isolation.releaseUser({ uid: users[1] as number, gid: users[1] as number });
    expect(isolation.acquireUser()?.uid).toBe(users[1]);
  });

  test.runIf(asRoot)("does not give away the user of a machine that was taken over", async () => {
    const isolation = await findIsolation();
    isolation.claimUser({ uid: defaultUserRange.first, gid: defaultUserRange.first });
    expect(isolation.acquireUser()?.uid).toBe(defaultUserRange.first + 1);
  });

  test.runIf(asRoot)("what it starts has that user and no way back", async () => {
    const isolation = await findIsolation();
    const user = isolation.acquireUser();
    const [file = "", ...args] = isolation.wrap(user, ["grep", "-E", "^(Uid|Gid|Groups|CapEff|CapBnd|NoNewPrivs)", "/proc/self/status"]);
    const { stdout } = await run(file, args);
    const id = user?.uid;
    expect(stdout.replaceAll(/[ \t]+/g, " ").trim()).toBe(
      [
        `Uid: ${id} ${id} ${id} ${id}`,
        `Gid: ${id} ${id} ${id} ${id}`,
        "Groups: ",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "NoNewPrivs: 1",
      ].join("\n"),
    );
  });

  test.runIf(asRoot)("knows what a monitor may not open", async () => {
    const isolation = await findIsolation();
    expect(await isolation.problemWith("/dev/null")).toBeUndefined();
    expect(await isolation.problemWith("/etc/shadow")).toContain("FIX:");
  });
});
