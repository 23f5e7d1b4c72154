import { expect, test } from "vitest";
import { CapacityLedger } from "./capacity-ledger.ts";

const total = { milli_cpu: 4_000, memory_mib: 4_096, disk_mib: 1_000, slots: 2 };
const needs = { milli_cpu: 1_000, memory_mib: 512, disk_mib: 100 };

test("what leases take is not free, and comes back with them", () => {
  const ledger = new CapacityLedger(total, 96);
  expect(ledger.free()).toEqual({ milli_cpu: 4_000, memory_mib: 4_000, disk_mib: 1_000, slots: 2 });
  ledger.take("a", needs);
  ledger.take("b", needs);
  expect(ledger.free()).toEqual({ milli_cpu: 2_000, memory_mib: 4_096 - 3 * 96 - 1_024, disk_mib: 800, slots: 0 });
  ledger.release("a");
  ledger.release("a");
  expect(ledger.free()).toMatchObject({ milli_cpu: 3_000, slots: 1 });
});

test("a machine that stands still holds its memory, and neither slot nor processors", async () => {
  const ledger = new CapacityLedger(total, 96);
  ledger.take("a", needs);
  const released = ledger.released(new AbortController().signal);
  ledger.standStill("a", "still");
  await released;
  expect(ledger.free()).toEqual({ milli_cpu: 4_000, memory_mib: 4_096 - 2 * 96 - 512, disk_mib: 900, slots: 2 });
  ledger.standStill("a", "moving");
  expect(ledger.free()).toMatchObject({ milli_cpu: 3_000, slots: 1 });
  ledger.standStill("a", "still");
  ledger.release("a");
  ledger.take("a", needs);
  expect(ledger.free()).toMatchObject({ milli_cpu: 3_000, slots: 1 });
});
