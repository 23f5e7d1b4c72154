/** The backing file that a qcow2 file names in its header. The monitor is given it as a descriptor, so it must be known beforehand. */
import { open } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { VmError } from "../driver.ts";

const magic = 0x514649fb;
const nameBytesMax = 1023;

export async function backingFile(overlay: string): Promise<string> {
  const file = await open(overlay, "r").catch((cause: NodeJS.ErrnoException) => {
    throw new VmError("disk_missing", `Cannot open ${overlay}: ${cause.message}`, { cause });
  });
  try {
    const header = Buffer.alloc(24);
    const { bytesRead } = await file.read(header, 0, header.length, 0);
    const offset = Number(header.readBigUInt64BE(8));
    const length = header.readUInt32BE(16);
    if (bytesRead < header.length || header.readUInt32BE(0) !== magic || length === 0 || length > nameBytesMax) {
      throw new VmError("disk_missing", `${overlay} is not an overlay with a backing file`);
    }
    const name = Buffer.alloc(length);
    await file.read(name, 0, length, offset);
    return resolve(dirname(overlay), name.toString("utf8"));
  } finally {
    await file.close();
  }
}
