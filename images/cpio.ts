/**
 * An initramfs archive in the "newc" cpio form: per entry a header of "070701" and 13 numbers of 8 hexadecimal digits, the name with its NUL
 * padded to 4 bytes together with the header, the content padded to 4 bytes; at the end an entry named TRAILER!!!. Owner root, time 0,
 * inode numbers in order, so that equal entries give equal bytes.
 */
export type CpioEntry =
  | { kind: "directory"; path: string; mode: number }
  | { kind: "file"; path: string; mode: number; content: Uint8Array }
  | { kind: "device"; path: string; mode: number; major: number; minor: number };

const fileType = { directory: 0o040000, file: 0o100000, device: 0o020000 } as const;
const headerBytes = 110;
const trailerName = "TRAILER!!!";

export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.map((entry, index) => encodeEntry(entry, index + 1));
  parts.push(encodeParts({ inode: 0, mode: 0, links: 1, major: 0, minor: 0, path: trailerName, content: new Uint8Array() }));
  return Buffer.concat(parts);
}

function encodeEntry(entry: CpioEntry, inode: number): Buffer {
  const { major, minor } = entry.kind === "device" ? entry : { major: 0, minor: 0 };
  const content = entry.kind === "file" ? entry.content : new Uint8Array();
  const links = entry.kind === "directory" ? 2 : 1;
  return encodeParts({ inode, mode: fileType[entry.kind] | entry.mode, links, major, minor, path: entry.path, content });
}

interface Parts {
  inode: number;
  mode: number;
  links: number;
  major: number;
  minor: number;
  path: string;
  content: Uint8Array;
}

function encodeParts(parts: Parts): Buffer {
  const name = Buffer.from(`${parts.path}\0`);
  // inode mode uid gid links mtime size devmajor devminor rdevmajor rdevminor namesize check
  const numbers = [parts.inode, parts.mode, 0, 0, parts.links, 0, parts.content.length, 0, 0, parts.major, parts.minor, name.length, 0];
  const header = `070701${numbers.map((number) => number.toString(16).toUpperCase().padStart(8, "0")).join("")}`;
  const namePadding = padding(headerBytes + name.length);
  return Buffer.concat([Buffer.from(header), name, Buffer.alloc(namePadding), parts.content, Buffer.alloc(padding(parts.content.length))]);
}

function padding(length: number): number {
  return (4 - (length % 4)) % 4;
}
