import { describe, expect, test } from "vitest";
import { VmError } from "./driver.ts";
import { orAborted, within } from "./limited-time.ts";

const bound = { ms: 10_000, code: "restore_failed", what: "The work" } as const;

/** Ends only when it is told to, and then takes a moment to undo itself. */
function stubborn(undone: { done: boolean }): (signal: AbortSignal) => Promise<never> {
  return (signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        setImmediate(() => {
          undone.done = true;
          reject(signal.reason as Error);
        });
      });
    });
}

describe("within()", () => {
  test("gives the result or the work's own failure", async () => {
    expect(await within(bound, () => Promise.resolve(7))).toBe(7);
    await expect(within(bound, () => Promise.reject(new VmError("disk_missing", "no disk")))).rejects.toMatchObject({
      code: "disk_missing",
    });
  });

  test("ends work that takes too long, after it has undone itself", async () => {
    const undone = { done: false };
    await expect(within({ ...bound, ms: 5 }, stubborn(undone))).rejects.toMatchObject({
      code: "restore_failed",
      message: "The work took longer than 5 ms",
    });
    expect(undone.done).toBe(true);
  });

  test("ends work that is given up, also before it began", async () => {
    const undone = { done: false };
    const giveUp = new AbortController();
    const working = within({ ...bound, signal: giveUp.signal }, stubborn(undone));
    giveUp.abort();
    await expect(working).rejects.toMatchObject({ code: "aborted" });
    expect(undone.done).toBe(true);
    let began = false;
    await expect(within({ ...bound, signal: giveUp.signal }, async () => void (began = true))).rejects.toMatchObject({ code: "aborted" });
    expect(began).toBe(false);
  });
});

test("orAborted() does not wait for what cannot be told to stop", async () => {
  const giveUp = new AbortController();
  const waiting = orAborted(new Promise(() => {}), giveUp.signal);
  giveUp.abort(new VmError("aborted", "enough"));
  await expect(waiting).rejects.toMatchObject({ code: "aborted" });
  expect(await orAborted(Promise.resolve(1), new AbortController().signal)).toBe(1);
});
