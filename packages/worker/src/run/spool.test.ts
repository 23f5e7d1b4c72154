import { appendFileSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import type { ReportItem } from "@helmr/protocol/worker";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { temporaryDirectory } from "../testing/temporary.ts";
import { Spool } from "./spool.ts";
import type { StreamOffsets } from "./spool-records.ts";

const root = temporaryDirectory("spool");
const place = () => mkdtempSync(join(root, "s-"));
const none = { items: 0, lengths: [0, 0, 0] as StreamOffsets };

function openSpool(directory: string, options: { accepted?: typeof none; bytesMax?: number } = {}) {
  const failures: Error[] = [];
  const opened = Spool.open({
    directory,
    accepted: options.accepted ?? none,
    bytesMax: options.bytesMax ?? 1 << 28,
    onFailed: (error) => failures.push(error),
  });
  return { opened, failures };
}

const everything = { items: 1000, bytes: 1 << 30 };
const ageless = (items: ReportItem[]) => items.map(({ age_ms: _age, ...item }) => item);
const text = (items: ReportItem[], stream: string) =>
  Buffer.concat(
    items
      .filter((item) => item.kind === "log" && item.stream === stream)
      .map((item) => Buffer.from((item as { data: string }).data, "base64")),
  ).toString();

describe("a spool", () => {
  test("numbers what comes, joins small pieces of a stream while it writes, and keeps the order", async () => {
    const spool = await openSpool(place()).opened;
    spool.appendLog("stdout", Buffer.from("a"), 1);
    for (const piece of ["b", "c", "d"]) spool.appendLog("stdout", Buffer.from(piece), 10);
    spool.appendLog("stderr", Buffer.from("e"), 1);
    const kept = spool.appendMetadata({ op: "increment", key: "n", amount: 1 });
    spool.appendLog("stdout", Buffer.from("f"), 11);
    await kept;
    await spool.flush();
    const batch = (await spool.batch(everything))!;
    expect(batch.first).toBe(1);
    expect(ageless(batch.items)).toEqual([
      { kind: "log", stream: "stdout", offset: 0, data: Buffer.from("a").toString("base64") },
      { kind: "log", stream: "stdout", offset: 1, data: Buffer.from("bcd").toString("base64") },
      { kind: "log", stream: "stderr", offset: 0, data: Buffer.from("e").toString("base64") },
      { kind: "metadata", operation: { op: "increment", key: "n", amount: 1 } },
      { kind: "log", stream: "stdout", offset: 4, data: Buffer.from("f").toString("base64") },
    ]);
    expect(spool.lastItem).toBe(5);
    expect(spool.taken).toEqual([11, 1, 0]);
    await spool.close();
  });

  test("waits with a write while patience costs nothing, and no longer than a moment", async () => {
    const spool = await openSpool(place()).opened;
    spool.patient = () => true;
    spool.appendLog("stdout", Buffer.from("one "), 4);
    spool.appendLog("stdout", Buffer.from("two"), 7);
    expect(spool.lastItem).toBe(0);
    await until("the write", () => spool.lastItem === 1);
    expect(text((await spool.batch(everything))!.items, "stdout")).toBe("one two");
    spool.appendLog("stdout", Buffer.alloc(70_000, "x"), 70_007); // enough for an item: nothing to wait for
    await spool.flush();
    expect(spool.lastItem).toBe(2);
    await spool.close();
  });

  test("stops taking at its bound and goes on when something was accepted", async () => {
    const spool = await openSpool(place(), { bytesMax: 200_000 }).opened;
    const written: number[] = [];
    spool.onWritten = ([stdout]) => written.push(stdout);
    for (let block = 1; block <= 10; block += 1) {
      spool.appendLog("stdout", Buffer.alloc(60_000), block * 60_000);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await until("the bound", () => written.at(-1) === 240_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(written.at(-1)).toBe(240_000);
    await spool.accepted(spool.lastItem);
    await until("the rest", () => written.at(-1) === 600_000);
    await spool.close();
  });

  test("removes segments once all of them was accepted", async () => {
    const directory = place();
    const spool = await openSpool(directory).opened;
    for (let block = 1; block <= 300; block += 1) {
      spool.appendLog("stdout", Buffer.alloc(65_536), block * 65_536);
      if (block % 50 === 0) await spool.flush();
    }
    await spool.flush();
    expect(readdirSync(directory).length).toBeGreaterThan(1);
    await spool.accepted(spool.lastItem);
    const left = readdirSync(directory);
    expect(left).toHaveLength(1);
    expect(spool.unsentBytes).toBe(0);
    await spool.close();
  });

  test("reads from the disk what does not fit in memory", async () => {
    const spool = await openSpool(place()).opened;
    for (let block = 0; block < 200; block += 1) spool.appendLog("stdout", Buffer.alloc(65_536, block), (block + 1) * 65_536);
    await spool.flush();
    let accepted = 0;
    while (accepted < 200) {
      const batch = (await spool.batch({ items: 7, bytes: 1 << 20 }))!;
      for (const [index, item] of batch.items.entries()) {
        const data = Buffer.from((item as { data: string }).data, "base64");
        expect(data.equals(Buffer.alloc(65_536, batch.first + index - 1))).toBe(true);
      }
      accepted += batch.items.length;
      await spool.accepted(accepted);
    }
    await spool.close();
  });

  test("says when it cannot write, and those items do not count", async () => {
    const { opened, failures } = openSpool(place());
    const spool = await opened;
    // The name of its first segment is taken by a directory.
    const { mkdirSync } = await import("node:fs");
    mkdirSync(join((spool as unknown as { options: { directory: string } }).options.directory, "segment-1"));
    spool.appendLog("stdout", Buffer.from("x"), 1);
    await spool.flush();
    expect(failures).toHaveLength(1);
    expect(spool.lastItem).toBe(0);
    await spool.close();
  });
});

describe("after a crash of the process", () => {
  const piece = fc.record({
    stream: fc.constantFrom("stdout", "stderr", "logger"),
    bytes: fc.integer({ min: 1, max: 30_000 }),
    flush: fc.boolean(),
  });

  test("the same items come again under the same numbers, whatever had been accepted", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { minLength: 1, maxLength: 20 }),
        fc.nat(20),
        fc.array(piece, { maxLength: 5 }),
        async (before, acceptedSeed, after) => {
          const directory = place();
          const spool = await openSpool(directory).opened;
          const guest: StreamOffsets = [0, 0, 0];
          const names = ["stdout", "stderr", "logger"];
          const append = async (to: Spool, pieces: typeof before) => {
            for (const { stream, bytes, flush } of pieces) {
              const index = names.indexOf(stream);
              guest[index as 0] += bytes;
              to.appendLog(stream, Buffer.alloc(bytes, guest[index as 0] % 256), guest[index as 0]);
              if (flush) await to.flush();
            }
            await to.flush();
          };
          await append(spool, before);
          const all = (await spool.batch(everything))!.items;
          const accepted = acceptedSeed % (all.length + 1);
          await spool.accepted(accepted);
          // What the control plane has, as it says it to the process that takes over.
          const lengths = names.map((name) =>
            all
              .slice(0, accepted)
              .reduce((sum, item) => sum + (item.kind === "log" && item.stream === name ? Buffer.from(item.data, "base64").length : 0), 0),
          ) as StreamOffsets;
          const again = await openSpool(directory, { accepted: { items: accepted, lengths } }).opened;
          expect(again.taken).toEqual(guest);
          await append(again, after);
          const rest = await again.batch(everything);
          expect(ageless((rest?.items ?? []).slice(0, all.length - accepted))).toEqual(ageless(all.slice(accepted)));
          if (rest !== undefined) expect(rest.first).toBe(accepted + 1);
          let offsets: Record<string, number> = Object.fromEntries(names.map((name, index) => [name, lengths[index]!]));
          for (const item of rest?.items ?? []) {
            if (item.kind !== "log") continue;
            expect(item.offset).toBe(offsets[item.stream]);
            offsets = { ...offsets, [item.stream]: item.offset + Buffer.from(item.data, "base64").length };
          }
          await spool.close();
          await again.close();
        },
      ),
      { numRuns: 40 },
    );
  });

  test("a record that was half written is as if it had never been, and nothing behind it is believed", async () => {
    const directory = place();
    const spool = await openSpool(directory).opened;
    spool.appendLog("stdout", Buffer.from("whole"), 5);
    await spool.flush();
    await spool.close();
    const segment = join(directory, "segment-1");
    const whole = readFileSync(segment);
    for (const tail of [
      whole.subarray(0, 3),
      whole.subarray(0, whole.length - 1),
      Buffer.alloc(40, 0xff),
      Buffer.from([1, 0, 0, 0, 0x7b, 0, 0, 0, 0]),
    ]) {
      writeFileSync(segment, whole);
      appendFileSync(segment, tail);
      const again = await openSpool(directory).opened;
      expect(again.lastItem).toBe(1);
      expect(again.taken).toEqual([5, 0, 0]);
      expect(statSync(segment).size).toBe(whole.length);
      await again.close();
    }
  });

  test("a spool that is gone goes on where the control plane stands", async () => {
    const spool = await openSpool(place(), { accepted: { items: 7, lengths: [100, 3, 0] } }).opened;
    spool.appendLog("stdout", Buffer.from("x"), 1);
    await spool.flush();
    const batch = (await spool.batch(everything))!;
    expect(batch.first).toBe(8);
    expect(batch.items[0]).toMatchObject({ offset: 100 });
    await spool.close();
  });
});
