/** Headers of a plain tar, with pax records for what does not fit: how files of a copy step travel into their guest. */
const blockBytes = 512;

export const endOfTar = Buffer.alloc(2 * blockBytes);

export interface PackedEntry {
  path: string;
  kind: "file" | "directory" | "symlink";
  mode: number;
  sizeBytes: number;
  target: string;
}

export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((blockBytes - (sizeBytes % blockBytes)) % blockBytes);
}

export function tarHeader(entry: PackedEntry): Buffer {
  const path = Buffer.from(entry.kind === "directory" ? `${entry.path}/` : entry.path);
  const target = Buffer.from(entry.target);
  const size = entry.kind === "file" ? entry.sizeBytes : 0;
  const records = [
    ...(path.length > 100 ? [paxRecord("path", path)] : []),
    ...(target.length > 100 ? [paxRecord("linkpath", target)] : []),
    ...(size >= 8 ** 11 ? [paxRecord("size", Buffer.from(String(size)))] : []),
  ];
  const header = plainHeader({ path, target, type: { file: "0", directory: "5", symlink: "2" }[entry.kind], mode: entry.mode, size });
  if (records.length === 0) return header;
  const body = Buffer.concat(records);
  const pax = plainHeader({ path: Buffer.from("pax"), target: Buffer.alloc(0), type: "x", mode: 0o644, size: body.length });
  return Buffer.concat([pax, body, tarPadding(body.length), header]);
}

function plainHeader(header: { path: Buffer; target: Buffer; type: string; mode: number; size: number }): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, length: number) => block.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
  header.path.copy(block, 0, 0, 100);
  octal(header.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(header.size % 8 ** 11, 124, 12);
  octal(0, 136, 12);
  block.write(`        ${header.type}`, 148, "latin1");
  header.target.copy(block, 157, 0, 100);
  block.write("ustar\x0000", 257, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (rest.length + String(length).length !== length) length += 1;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
