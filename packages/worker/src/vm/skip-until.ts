/**
 * A duplex stream whose reading side begins at a marker: what comes before it is dropped, the marker itself is dropped or kept. For channels
 * that are taken over while their other end is in the middle of something (protocol/guest/frames.ts, network.ts).
 */
import { Duplex } from "node:stream";
import { VmError } from "./driver.ts";
import { vmLimits } from "./limits.ts";

export interface MarkerSearch {
  marker: Uint8Array;
  keepMarker: boolean;
}

export function skipUntil(source: Duplex, { marker, keepMarker }: MarkerSearch): Duplex {
  let searched = 0;
  /** Undefined once the marker has been found. */
  let tail: Buffer | undefined = Buffer.alloc(0);

  const stream = new Duplex({
    read: () => void source.resume(),
    write: (chunk: Buffer, _encoding, done) => void source.write(chunk, done),
    final: (done) => void source.end(done),
    destroy: (error, done) => {
      source.destroy();
      done(error);
    },
  });
  const pass = (bytes: Buffer): void => {
    if (bytes.length > 0 && !stream.push(bytes)) source.pause();
  };
  source.on("data", (chunk: Buffer) => {
    if (tail === undefined) return pass(chunk);
    const bytes = Buffer.concat([tail, chunk]);
    const at = bytes.indexOf(marker);
    if (at >= 0) {
      tail = undefined;
      return pass(bytes.subarray(keepMarker ? at : at + marker.length));
    }
    searched += chunk.length;
    if (searched > vmLimits.preambleSearchBytesMax) {
      stream.destroy(new VmError("monitor_unresponsive", `No beginning was found in ${searched} bytes of a guest's channel`));
      return;
    }
    tail = Buffer.from(bytes.subarray(Math.max(0, bytes.length - marker.length + 1)));
  });
  source.on("end", () => stream.push(null));
  source.on("error", (error) => stream.destroy(error));
  source.on("close", () => stream.destroy());
  source.pause();
  return stream;
}
