import { expect, test } from "vitest";
import { Undo } from "./undo.ts";

test("steps run last in first out, one after the other", async () => {
  const undo = new Undo();
  const ran: string[] = [];
  undo.add(() => ran.push("first"));
  undo.add(async () => {
    await new Promise(setImmediate);
    ran.push("second");
  });
  undo.add(() => ran.push("third"));
  await undo.run();
  expect(ran).toEqual(["third", "second", "first"]);
});

test("a failure does not stop the others and is told at the end", async () => {
  const undo = new Undo();
  const ran: string[] = [];
  undo.add(() => ran.push("first"));
  undo.add(() => Promise.reject(new Error("stuck")));
  await expect(undo.run()).rejects.toThrow("stuck");
  expect(ran).toEqual(["first"]);
});

test("running twice is running once, for both callers", async () => {
  const undo = new Undo();
  let times = 0;
  undo.add(() => {
    times += 1;
  });
  await Promise.all([undo.run(), undo.run()]);
  expect(times).toBe(1);
});
