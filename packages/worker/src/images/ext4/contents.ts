/**
 * Contents of files on their way to an image's disk: blocks are given out in order, data are written while they are read from a layer. Blocks that
 * a later layer takes away are zeroed at the end and stay free. Synchronous, for a thread of its own.
 */
import { writeSync } from "node:fs";
import { ImageError } from "../image-error.ts";
import { blockBytes, type Extent, type Geometry, placesOf } from "./disk-layout.ts";

const bufferBytes = 1024 * 1024;
const zeros = Buffer.alloc(bufferBytes);

export interface FileContent {
  readonly extents: Extent[];
  write(chunk: Buffer): void;
}

export class Ext4Contents {
  readonly freed: Extent[] = [];
  private readonly fd: number;
  private readonly geometry: Geometry;
  private group = 0;
  private next: number;
  private end: number;
  /** Writes that follow each other are collected. */
  private readonly buffer = Buffer.allocUnsafe(bufferBytes);
  private bufferAt = 0;
  private buffered = 0;

  constructor(fd: number, geometry: Geometry) {
    this.fd = fd;
    this.geometry = geometry;
    const first = placesOf(geometry, 0);
    this.next = first.data;
    this.end = first.end;
  }

  /** The file behind the last block that was given out is empty. */
  get lastBlock(): number {
    return this.next;
  }

  allocate(blocks: number): Extent[] {
    const extents: Extent[] = [];
    for (let left = blocks; left > 0;) {
      if (this.next === this.end) this.nextGroup();
      const count = Math.min(left, this.end - this.next);
      extents.push({ start: this.next, count });
      this.next += count;
      left -= count;
    }
    return extents;
  }

  file(sizeBytes: number): FileContent {
    const extents = this.allocate(Math.ceil(sizeBytes / blockBytes));
    let index = 0;
    let offset = 0;
    const write = (chunk: Buffer): void => {
      for (let at = 0; at < chunk.length;) {
        const extent = extents[index] as Extent;
        const part = chunk.subarray(at, at + extent.count * blockBytes - offset);
        this.writeAt(extent.start * blockBytes + offset, part);
        at += part.length;
        offset += part.length;
        if (offset < extent.count * blockBytes) continue;
        index += 1;
        offset = 0;
      }
    };
    return { extents, write };
  }

  free(extents: readonly Extent[]): void {
    this.freed.push(...extents);
  }

  writeAt(position: number, data: Buffer): void {
    const behind = this.bufferAt + this.buffered;
    const gap = position - behind;
    // The rest of a file's last block is zero anyway: small gaps are written with their neighbours.
    if (this.buffered > 0 && gap >= 0 && gap < blockBytes && this.buffered + gap + data.length <= bufferBytes) {
      this.buffer.fill(0, this.buffered, this.buffered + gap);
      data.copy(this.buffer, this.buffered + gap);
      this.buffered += gap + data.length;
      return;
    }
    this.flush();
    if (data.length >= bufferBytes) {
      writeWhole(this.fd, data, position);
      return;
    }
    data.copy(this.buffer, 0);
    this.bufferAt = position;
    this.buffered = data.length;
  }

  flush(): void {
    if (this.buffered > 0) writeWhole(this.fd, this.buffer.subarray(0, this.buffered), this.bufferAt);
    this.buffered = 0;
  }

  zeroFreed(): void {
    this.flush();
    for (const { start, count } of this.freed)
      for (let at = 0; at < count * blockBytes; at += bufferBytes)
        writeWhole(this.fd, zeros.subarray(0, Math.min(bufferBytes, count * blockBytes - at)), start * blockBytes + at);
  }

  private nextGroup(): void {
    this.group += 1;
    if (this.group === this.geometry.groups)
      throw new ImageError("image_too_large", `The image does not fit on its disk of ${this.geometry.groups / 8} GiB`);
    const places = placesOf(this.geometry, this.group);
    this.next = places.data;
    this.end = places.end;
  }
}

function writeWhole(fd: number, data: Buffer, position: number): void {
  for (let at = 0; at < data.length;) at += writeSync(fd, data, at, data.length - at, position + at);
}
