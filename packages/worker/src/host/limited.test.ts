import { expect, test } from "vitest";
import { Gate } from "./limited.ts";

/** A task that ends when it is told to. */
function held(name: string, order: string[]) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const task = async () => {
    order.push(name);
    await promise;
  };
  return { task, end: resolve };
}

test("a gate lets so many in at a time, in turn", async () => {
  const gate = new Gate(2);
  const order: string[] = [];
  const tasks = ["a", "b", "c", "d"].map((name) => held(name, order));
  const all = tasks.map(({ task }) => gate.run(task));
  expect(order).toEqual(["a", "b"]);
  tasks[1]?.end();
  await all[1];
  expect(order).toEqual(["a", "b", "c"]);
  for (const { end } of tasks) end();
  await Promise.all(all);
  expect(order).toEqual(["a", "b", "c", "d"]);
});

test("who gives up leaves the line, and takes nobody's turn", async () => {
  const gate = new Gate(1);
  const order: string[] = [];
  const [first, second, third] = ["a", "b", "c"].map((name) => held(name, order)) as [
    ReturnType<typeof held>,
    ReturnType<typeof held>,
    ReturnType<typeof held>,
  ];
  const running = gate.run(first.task);
  const givenUp = new AbortController();
  const waiting = gate.run(second.task, givenUp.signal);
  const last = gate.run(third.task);
  givenUp.abort(new RangeError("enough"));
  await expect(waiting).rejects.toThrow("enough");
  first.end();
  third.end();
  await Promise.all([running, last]);
  expect(order).toEqual(["a", "c"]);
  await expect(gate.run(() => Promise.resolve(1), givenUp.signal)).rejects.toThrow("enough");
});

test("a task that fails makes room", async () => {
  const gate = new Gate(1);
  await expect(gate.run(() => Promise.reject(new RangeError("no")))).rejects.toThrow("no");
  await expect(gate.run(() => Promise.resolve("next"))).resolves.toBe("next");
});
