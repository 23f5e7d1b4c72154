import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ActiveClock, Deadline } from "./deadline.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

describe("ActiveClock", () => {
  test("counts from start to stop without the time in which anything is waited for", () => {
    const usedUp = vi.fn();
    const clock = new ActiveClock(1000, usedUp);
    vi.advanceTimersByTime(500);
    clock.start();
    vi.advanceTimersByTime(300);
    clock.waitOpened();
    clock.waitOpened();
    vi.advanceTimersByTime(5000);
    clock.waitClosed();
    vi.advanceTimersByTime(5000);
    clock.waitClosed();
    expect([clock.activeMs, usedUp.mock.calls.length]).toEqual([300, 0]);
    vi.advanceTimersByTime(699);
    expect(usedUp).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(usedUp).toHaveBeenCalledOnce();
    clock.stop();
    vi.advanceTimersByTime(5000);
    expect([clock.activeMs, usedUp.mock.calls.length]).toEqual([1000, 1]);
  });
});

describe("Deadline", () => {
  test("passes once, at the latest extension, and never after it was cleared", () => {
    const passed = vi.fn();
    const deadline = new Deadline(passed);
    deadline.extend(100);
    vi.advanceTimersByTime(99);
    deadline.extend(100);
    vi.advanceTimersByTime(99);
    expect(passed).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(passed).toHaveBeenCalledOnce();
    deadline.extend(10);
    deadline.clear();
    vi.advanceTimersByTime(100);
    expect(passed).toHaveBeenCalledOnce();
  });
});
