/**
 * DATA frames on their way to a guest. Big ones are written into buffers that are used again as soon as the stream is done with them:
 * allocating 64 KiB for every read costs more in garbage collection than the copy (measured: 1.05 s of CPU against 0.46 s for 512 MiB).
 *
 * A stream is done with a chunk when it calls the chunk's callback. That holds for sockets and pipes, not for memory pairs that hand the
 * chunk itself to their other side.
 */
import { networkDataBytesMax, networkKinds } from "@helmr/protocol/guest";
import { encodeFrame, frameHeaderBytes, writeFrameHeader } from "./channel-frames.ts";
import { networkLimits } from "./limits.ts";

const idle: Buffer[] = [];

/** `done` is for the stream's callback; absent when there is nothing to do. */
export function encodeData(connection: number, bytes: Uint8Array): { frame: Buffer; done?: () => void } {
  if (bytes.length < networkLimits.reuseFromBytes) return { frame: encodeFrame(networkKinds.data, connection, bytes) };
  const buffer = idle.pop() ?? Buffer.allocUnsafeSlow(frameHeaderBytes + networkDataBytesMax);
  writeFrameHeader(buffer, { kind: networkKinds.data, connection, bodyBytes: bytes.length });
  buffer.set(bytes, frameHeaderBytes);
  return {
    frame: buffer.subarray(0, frameHeaderBytes + bytes.length),
    done: () => {
      if (idle.length < networkLimits.idleFrameBuffers) idle.push(buffer);
    },
  };
}
