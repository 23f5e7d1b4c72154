/**
 * A package as npm wants it: a gzipped tar with everything below `package/`. The same files give the same bytes: names sorted, one fixed
 * time, no owner. Only what a package of plain files needs: no links, no directories of their own, no names beyond 100 bytes.
 */
import { gzipSync } from "node:zlib";
import { DefinitionError } from "../errors.ts";

export type PackageFiles = ReadonlyMap<string, Uint8Array>;

const blockBytes = 512;
/** The time npm itself writes: 1985-10-26T08:15:00Z. */
const modifiedSeconds = 499_162_500;

export function npmTarball(files: PackageFiles): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const [name, data] of [...files].sort(([left], [right]) => (left < right ? -1 : 1))) {
    blocks.push(header(`package/${name}`, data.length), data, new Uint8Array(-data.length & (blockBytes - 1)));
  }
  blocks.push(new Uint8Array(2 * blockBytes));
  return new Uint8Array(gzipSync(Buffer.concat(blocks), { level: 9 }));
}

function header(path: string, size: number): Uint8Array {
  const block = Buffer.alloc(blockBytes);
  if (Buffer.byteLength(path) > 100) throw new DefinitionError(`Cannot pack ${path}: its name has more than 100 bytes`);
  block.write(path, 0, "utf8");
  octal(block, 100, 8, 0o644);
  octal(block, 108, 8, 0);
  octal(block, 116, 8, 0);
  octal(block, 124, 12, size);
  octal(block, 136, 12, modifiedSeconds);
  // The checksum is counted with blanks in its own place.
  block.write("        ", 148, "ascii");
  block.write("0", 156, "ascii");
  block.write("ustar\u000000", 257, "latin1");
  const checksum = block.reduce((sum, byte) => sum + byte, 0);
  block.write(`${checksum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function octal(block: Buffer, offset: number, length: number, value: number): void {
  block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "latin1");
}
