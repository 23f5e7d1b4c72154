import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Artifact, artifactName, prepareArtifact, removeAbandoned, removeOutdated } from "./artifact.ts";

let directory: string;
let events: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "artifact-"));
  events = [];
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const artifact: Artifact = { name: "thing", inputs: { version: "1", recipe: 2 } };

function prepare(make: (into: string) => Promise<void>, wanted: Artifact = artifact): Promise<string> {
  return prepareArtifact({ directory, artifact: wanted, make, progress: ({ step, state }) => events.push(`${step} ${state}`) });
}

describe("prepareArtifact()", () => {
  test("makes a thing once and finds it afterwards", async () => {
    const first = await prepare((into) => writeFile(join(into, "content"), "made"));
    const second = await prepare(() => Promise.reject(new Error("must not be made again")));
    expect(second).toBe(first);
    expect(await readFile(join(second, "content"), "utf8")).toBe("made");
    expect(events).toEqual(["thing started", "thing done", "thing cached"]);
  });

  test("the name depends on every input and not on their order", () => {
    expect(artifactName({ name: "thing", inputs: { recipe: 2, version: "1" } })).toBe(artifactName(artifact));
    expect(artifactName({ name: "thing", inputs: { recipe: 3, version: "1" } })).not.toBe(artifactName(artifact));
    expect(artifactName({ name: "thing", inputs: { recipe: 2 } })).not.toBe(artifactName(artifact));
  });

  test("a failure leaves nothing, and the next try succeeds", async () => {
    await expect(prepare(() => Promise.reject(new Error("no disk")))).rejects.toThrow("no disk");
    expect(await readdir(directory)).toEqual([]);
    await prepare((into) => writeFile(join(into, "content"), ""));
  });

  test("two at once end with one whole thing", async () => {
    const make = (into: string): Promise<void> => writeFile(join(into, "content"), "same");
    const [one, other] = await Promise.all([prepare(make), prepare(make)]);
    expect(one).toBe(other);
    expect(await readdir(directory)).toEqual([artifactName(artifact)]);
  });
});

test("removeAbandoned() removes what a dead process was making, not what a live one is", async () => {
  const dead = `thing-0123456789abcdef.tmp-999999999-1`;
  const live = `thing-0123456789abcdef.tmp-${process.pid}-1`;
  for (const name of [dead, live, "thing-0123456789abcdef"]) await mkdir(join(directory, name));
  await removeAbandoned(directory);
  expect((await readdir(directory)).toSorted()).toEqual(["thing-0123456789abcdef", live]);
});

test("removeOutdated() keeps the current, the recent and the unknown", async () => {
  const names = ["current-0123456789abcdef", "old-0123456789abcdef", "recent-0123456789abcdef", "templates"];
  for (const name of names) await mkdir(join(directory, name));
  for (const name of ["current-0123456789abcdef", "old-0123456789abcdef", "templates"]) await utimes(join(directory, name), 1, 1);
  const removed = await removeOutdated(directory, { keep: [join(directory, "current-0123456789abcdef")], olderThanMs: 60_000 });
  expect(removed).toEqual(["old-0123456789abcdef"]);
  expect((await readdir(directory)).toSorted()).toEqual(["current-0123456789abcdef", "recent-0123456789abcdef", "templates"]);
});
