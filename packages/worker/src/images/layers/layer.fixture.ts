/** Layers for tests: tars with anything in them, also what no tool writes. */
export interface TarItem {
  path: string;
  type?: string;
  data?: Uint8Array | string;
  link?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  pax?: Record<string, string>;
  /** Of the header, when it is not that of the data. */
  size?: number;
}

export function tar(...items: TarItem[]): Buffer {
  return Buffer.concat([...items.flatMap(blocksOf), Buffer.alloc(1024)]);
}

function blocksOf(item: TarItem): Buffer[] {
  const data = Buffer.from(item.data ?? "");
  const header = headerOf(item, data.length);
  const pax = item.pax === undefined ? [] : paxBlocks(item.pax);
  return [...pax, header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
}

function paxBlocks(records: Record<string, string>): Buffer[] {
  const body = Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)));
  return [headerOf({ path: "pax", type: "x" }, body.length), body, Buffer.alloc((512 - (body.length % 512)) % 512)];
}

function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`, "latin1");
  let length = rest.length + 1;
  while (rest.length + String(length).length !== length) length += 1;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function headerOf(item: TarItem, dataBytes: number): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number) => block.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
  block.write(item.path.slice(0, 100), 0, "latin1");
  octal(item.mode ?? 0o644, 100, 8);
  octal(item.uid ?? 0, 108, 8);
  octal(item.gid ?? 0, 116, 8);
  octal(item.size ?? dataBytes, 124, 12);
  octal(item.mtime ?? 1, 136, 12);
  block.write("        ", 148, "latin1");
  block.write(item.type ?? (item.path.endsWith("/") ? "5" : item.link === undefined ? "0" : "2"), 156, "latin1");
  block.write((item.link ?? "").slice(0, 100), 157, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}
