import { Readable } from "node:stream";
import { pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { createDeployment } from "./create-deployment.ts";
import { type Engine, eachStep, openEngine, sourceHash, sourceTar } from "./engine.fixture.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
});
afterAll(() => engine.close());

const create = (bytes: Buffer, hash = sourceHash(bytes)) =>
  createDeployment(engine.context, {
    scope: engine.scope,
    metadata: { content_hash: hash },
    source: Readable.from([bytes]),
    sdkVersion: "1.2.3",
    cliVersion: undefined,
  });
const messageOf = async (bytes: Buffer) => {
  const result = await create(bytes);
  return isRefusal(result) ? `${result.status} ${result.message}` : "accepted";
};
const blobs = async () => {
  const keys: string[] = [];
  for await (const blob of engine.context.blobs.list(`orgs/${engine.scope.orgId}/sources/`)) keys.push(blob.key);
  return keys;
};

describe("createDeployment()", () => {
  test("queues a build with a version of its day", async () => {
    const bytes = await sourceTar({ "package.json": "{}" });
    const created = await create(bytes);
    expect(created).toMatchObject({
      version: expect.stringMatching(/^\d{8}\.1$/),
      state: "queued",
      content_hash: sourceHash(bytes),
      source_size_bytes: bytes.length,
      sdk_version: "1.2.3",
      cli_version: null,
    });
    const next = await create(await sourceTar({ "package.json": '{"a":1}' }));
    expect(next).toMatchObject({ version: expect.stringMatching(/^\d{8}\.2$/) });
    expect(engine.hinted).toContain("dispatch:default");
    expect(await engine.invariants()).toEqual([]);
  });

  test("known content gives the deployment that has it, unless that one failed", async () => {
    const bytes = await sourceTar({ a: "same" });
    const first = await create(bytes);
    const again = await create(bytes);
    expect(!isRefusal(first) && !isRefusal(again) && again.id === first.id).toBe(true);
    await engine.sql("update deployments set state = 'failed' where content_hash = $1", [sourceHash(bytes)]);
    const third = await create(bytes);
    expect(!isRefusal(first) && !isRefusal(third) && third.id !== first.id).toBe(true);
  });

  test("the same content at once is one deployment", async () => {
    const bytes = await sourceTar({ a: "race" });
    const results = await Promise.all(Array.from({ length: 5 }, () => create(bytes)));
    expect(new Set(results.map((result) => (isRefusal(result) ? result.message : result.id))).size).toBe(1);
  });

  test("bytes that are not what was announced are refused and not kept", async () => {
    const before = await blobs();
    const bytes = await sourceTar({ a: "1" });
    expect(await create(bytes, `sha256:${"0".repeat(64)}`)).toMatchObject({
      status: 400,
      message: expect.stringContaining("content_hash does not match"),
    });
    expect(await blobs()).toEqual(before);
  });
});

async function archive(fill: (tar: ReturnType<typeof pack>) => void): Promise<Buffer> {
  const tar = pack();
  fill(tar);
  tar.finalize();
  const parts: Buffer[] = [];
  for await (const part of tar as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

describe("hostile archives", () => {
  test.each([
    ["a path above the root", (tar: ReturnType<typeof pack>) => tar.entry({ name: "a/../../b" }, "x"), /outside of the project/],
    ["an absolute path", (tar: ReturnType<typeof pack>) => tar.entry({ name: "/etc/passwd" }, "x"), /outside of the project/],
    ["a hard link", (tar: ReturnType<typeof pack>) => tar.entry({ name: "h", type: "link", linkname: "a" }), /hard link/],
    [
      "a device",
      (tar: ReturnType<typeof pack>) => tar.entry({ name: "d", type: "character-device", devmajor: 1, devminor: 3 }),
      /character-device/,
    ],
    ["a fifo", (tar: ReturnType<typeof pack>) => tar.entry({ name: "f", type: "fifo" }), /fifo/],
    [
      "a link to an absolute path",
      (tar: ReturnType<typeof pack>) => tar.entry({ name: "l", type: "symlink", linkname: "/etc" }),
      /points out of the project/,
    ],
    [
      "a link above the root",
      (tar: ReturnType<typeof pack>) => tar.entry({ name: "a/l", type: "symlink", linkname: "../../x" }),
      /points out of the project/,
    ],
    ["a sparse file", (tar: ReturnType<typeof pack>) => tar.entry({ name: "s", pax: { "GNU.sparse.major": "1" } }, "x"), /sparse/],
  ])("%s is refused", async (_what, fill, message) => {
    const before = await blobs();
    expect(await messageOf(await archive(fill))).toMatch(message);
    expect(await blobs()).toEqual(before);
  });

  test("what is no tar is refused", async () => {
    expect(await messageOf(Buffer.from("hello"))).toMatch(/400 .*tar/);
    expect(await messageOf(Buffer.alloc(0))).toMatch(/400 .*tar/);
    expect(await messageOf(Buffer.alloc(4_096, 0xff))).toMatch(/400 .*tar/);
    const whole = await sourceTar({ a: "x".repeat(5_000) });
    expect(await messageOf(whole.subarray(0, 2_000))).toMatch(/400 .*tar/);
  });

  test("too many entries, and sizes that nobody could unpack, are refused", async () => {
    const many = await archive((tar) => {
      for (let index = 0; index <= 100_000; index += 1) tar.entry({ name: `f${index}` }, "");
    });
    expect(await messageOf(many)).toMatch(/more than 100000 entries/);
    const header = (await sourceTar({ big: "" })).subarray(0, 512);
    const huge = Buffer.concat([header, Buffer.alloc(1_024)]);
    huge.write("77777777777\0", 124, "latin1");
    let sum = 0;
    huge.fill(0x20, 148, 156);
    for (const byte of huge.subarray(0, 512)) sum += byte;
    huge.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    expect(await messageOf(huge)).toMatch(/larger than 536870912 bytes/);
  });

  test("links inside the root are fine", async () => {
    const tar = await archive((entries) => {
      entries.entry({ name: "a/b.txt" }, "x");
      entries.entry({ name: "a/l", type: "symlink", linkname: "../a/b.txt" });
    });
    expect(await messageOf(tar)).toBe("accepted");
  });
});

test("each step may fail: one deployment comes of it", async () => {
  let number = 0;
  await eachStep(engine, {
    setup: () => sourceTar({ step: `${(number += 1)}` }),
    act: (bytes) => create(bytes),
    async check(bytes, result) {
      expect(isRefusal(result)).toBe(false);
      expect(await engine.sql("select 1 from deployments where content_hash = $1", [sourceHash(bytes)])).toHaveLength(1);
    },
  });
});
