/** The frame with which a guest's network channel begins (protocol/guest/network.ts), as it is on the wire. */
import { networkKinds, networkSyncBody } from "@helmr/protocol/guest";

const connectionBytes = 4;
const kindBytes = 1;

export const networkSyncFrame: Uint8Array = encodeSync();

function encodeSync(): Uint8Array {
  const frame = new Uint8Array(4 + kindBytes + connectionBytes + networkSyncBody.length);
  new DataView(frame.buffer).setUint32(0, kindBytes + connectionBytes + networkSyncBody.length);
  frame[4] = networkKinds.sync;
  frame.set(networkSyncBody, 4 + kindBytes + connectionBytes);
  return frame;
}
