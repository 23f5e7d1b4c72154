import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { encodeBytes, encodeMessage, FrameDecoder, guestMessage, hostMessage } from "./index.ts";

/** Frames of every release since they were written: each must be read by all later ones. */
interface Golden {
  protocol: number;
  from: "host" | "guest" | "both";
  message?: { type: string };
  bytes?: { stream: number; offset: number; data: string };
  frame: string;
}

const directory = new URL("../../golden/guest/", import.meta.url);
const goldens = readdirSync(directory)
  .sort()
  .map((name) => [name, JSON.parse(readFileSync(new URL(name, directory), "utf8")) as Golden] as const);

describe("golden frames of the guest protocol", () => {
  test.each(goldens)("%s", (_name, golden) => {
    const bytes = Buffer.from(golden.frame, "hex");
    const decoder = new FrameDecoder();
    const [frame, ...rest] = decoder.push(bytes);
    expect([rest, decoder.pending]).toEqual([[], 0]);
    if (golden.bytes !== undefined) {
      const { stream, offset, data } = golden.bytes;
      expect(frame).toMatchObject({ kind: "bytes", stream, offset });
      expect(Buffer.from((frame as { data: Uint8Array }).data).toString("hex")).toBe(data);
      expect(Buffer.from(encodeBytes(stream, offset, Buffer.from(data, "hex"))).toString("hex")).toBe(golden.frame);
      return;
    }
    expect(frame).toEqual({ kind: "message", message: golden.message });
    const schema = golden.from === "host" ? hostMessage : guestMessage;
    // Nothing of it is dropped or changed.
    expect(schema.parse(golden.message)).toEqual(golden.message);
    expect(Buffer.from(encodeMessage(golden.message)).toString("hex")).toBe(golden.frame);
  });

  test("there is one for every message", () => {
    for (const [side, union] of [
      ["host", hostMessage],
      ["guest", guestMessage],
    ] as const) {
      const types = new Set(union.options.map((option) => [...option.shape.type.values][0]));
      const present = new Set(goldens.filter(([, golden]) => golden.from === side).map(([, golden]) => golden.message?.type));
      expect(present).toEqual(types);
    }
  });
});
