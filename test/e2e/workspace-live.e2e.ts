/** A workspace that is mounted without a run: execs, terminals, live files and ports in a real guest, and what the stop leaves behind. */
import { join } from "node:path";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository } from "./local-install.ts";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";

let install: SharedInstall;
let workspace: string;
const waitMs = 120_000;

beforeAll(async () => {
  install = await sharedInstall();
  await install.deploy(join(repository, "examples", "hello"));
  ({
    workspace: { id: workspace },
  } = await install.post("/api/workspaces", { sandbox_id: "default" }, 201));
});
afterAll(() => install?.close());

const path = () => `/api/workspaces/${workspace}`;

describe("an exec in a workspace that is not mounted", () => {
  test("mounts it, runs, and its output is read over HTTP", async () => {
    const { exec } = await install.post(
      `${path()}/execs`,
      { command: ["sh", "-c", "echo hello; echo oops >&2; echo kept > kept.txt; exit 3"] },
      201,
    );
    expect(exec).toMatchObject({ state: "materializing", cwd: "/workspace" });
    const ended = await until(
      "the exec has ended",
      async () => {
        const { exec: now } = await install.get(`${path()}/execs/${exec.id}`);
        return now.state === "exited" ? now : undefined;
      },
      waitMs,
    );
    expect(ended).toMatchObject({ exit_code: 3, stdout_cursor: 6, stderr_cursor: 5 });
    const { chunks } = await install.get(`${path()}/execs/${exec.id}/stdout`);
    expect(Buffer.from(chunks[0].data, "base64").toString()).toBe("hello\n");
  });

  test("and the stop captures what it wrote", async () => {
    const { state, mount } = await install.post(`${path()}/stop`, {});
    expect(state).toBe("unmounting");
    await until("it is unmounted", async () => (await install.post(`${path()}/stop`, {})).state === "no_active_mount", waitMs);
    const { versions } = await install.get(`${path()}/versions`);
    expect(versions).toHaveLength(2);
    expect(mount.id).toEqual(expect.any(String));
    expect(await install.file(workspace, "kept.txt")).toBe("kept\n");
  });
});
