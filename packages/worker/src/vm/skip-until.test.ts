import { duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { vmLimits } from "./limits.ts";
import { skipUntil } from "./skip-until.ts";

const marker = Buffer.from("MARK");

describe("skipUntil()", () => {
  test("drops what comes before the marker, however it is cut", async () => {
    const whole = "rubbish MAR MMARKfirst MARK second";
    for (let cut = 1; cut < whole.length; cut += 1) {
      const [far, near] = duplexPair();
      const stream = skipUntil(near, { marker, keepMarker: false });
      far.write(whole.slice(0, cut));
      far.end(whole.slice(cut));
      expect(await text(stream)).toBe("first MARK second");
    }
  });

  test("keeps the marker when it is part of what follows", async () => {
    const [far, near] = duplexPair();
    far.end("xxMARKrest");
    expect(await text(skipUntil(near, { marker, keepMarker: true }))).toBe("MARKrest");
  });

  test("passes on what is written, and both ends", async () => {
    const [far, near] = duplexPair();
    const stream = skipUntil(near, { marker, keepMarker: false });
    stream.resume();
    stream.end("to the other side");
    expect(await text(far)).toBe("to the other side");
  });

  test("gives up when there is no marker in far too much", async () => {
    const [far, near] = duplexPair();
    const stream = skipUntil(near, { marker, keepMarker: false });
    const failed = new Promise<Error>((resolve) => stream.once("error", resolve));
    stream.resume();
    const chunk = Buffer.alloc(1024 * 1024);
    for (let sent = 0; sent <= vmLimits.preambleSearchBytesMax; sent += chunk.length) far.write(chunk);
    expect(await failed).toMatchObject({ code: "monitor_unresponsive" });
    expect(near.destroyed).toBe(true);
  });

  test("holds its source back while nobody reads", async () => {
    const [far, near] = duplexPair();
    const stream = skipUntil(near, { marker, keepMarker: false });
    far.write("MARK");
    const chunk = Buffer.alloc(65_536);
    let accepted = 0;
    stream.read(0);
    while (accepted < 64 && far.write(chunk)) accepted += 1;
    await new Promise(setImmediate);
    expect(stream.readableLength).toBeLessThan(5 * chunk.length);
  });
});
