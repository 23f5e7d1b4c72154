/**
 * The end of an image's disk: everything but the contents of files, which are there already. Inodes are numbered in the order of the tree, ids and
 * times come from the image, so equal images give equal bytes.
 */
import { createHash } from "node:crypto";
import { writeSync } from "node:fs";
import { ImageError } from "../image-error.ts";
import type { ImageNode } from "../layers/image-tree.ts";
import type { Ext4Contents } from "./contents.ts";
import { directoryBlocks } from "./directories.ts";
import { blockBytes, blocksPerGroup, type Extent, firstFreeInode, type Geometry, inodeBytes, placesOf, rootInode } from "./disk-layout.ts";
import { encodeInode, extraFieldsEnd } from "./inodes.ts";
import { groupDescriptors, superblock } from "./superblock.ts";
import { encodeXattrs } from "./xattrs.ts";

export interface TreeOnDisk {
  fd: number;
  geometry: Geometry;
  contents: Ext4Contents;
  /** Names the file system. */
  id: string;
}

export interface WrittenTree {
  inodes: number;
  /** The file has nothing behind this. */
  usedBytes: number;
}

const fastLinkBytes = 59;
const inlineExtents = 4;
const extentsPerBlock = 340;

export function writeTree(root: ImageNode, disk: TreeOnDisk): WrittenTree {
  const nodes = numberNodes(root, disk.geometry);
  const table = new InodeTable(disk);
  for (const node of nodes) table.add(node);
  disk.contents.zeroFreed();
  const { usedBytes } = table.finish(nodes);
  return { inodes: nodes.length, usedBytes };
}

/** In the order of the tree; a file with several names once. */
function numberNodes(root: ImageNode, geometry: Geometry): ImageNode[] {
  const nodes: ImageNode[] = [];
  let next = firstFreeInode;
  const visit = (node: ImageNode) => {
    if (node.inode !== 0) return;
    node.inode = node === root ? rootInode : next;
    if (node !== root) next += 1;
    nodes.push(node);
    for (const { node: child } of node.children?.values() ?? []) visit(child);
  };
  visit(root);
  const room = geometry.groups * geometry.inodesPerGroup;
  if (next > room)
    throw new ImageError("image_too_large", `The image has ${nodes.length} files and directories; its disk has room for ${room}`);
  return nodes;
}

class InodeTable {
  private readonly disk: TreeOnDisk;
  /** One group's inodes at a time; they come in order. */
  private group = 0;
  private readonly buffer: Buffer;

  constructor(disk: TreeOnDisk) {
    this.disk = disk;
    this.buffer = Buffer.alloc(disk.geometry.inodesPerGroup * inodeBytes);
  }

  add(node: ImageNode): void {
    const facts = { extents: node.extents, sizeBytes: node.sizeBytes };
    let inline: Buffer | undefined;
    if (node.kind === "directory") {
      const blocks = directoryBlocks(node);
      facts.sizeBytes = blocks.length;
      facts.extents = this.write(blocks);
    } else if (node.kind === "symlink") {
      const target = Buffer.from(node.target, "latin1");
      facts.sizeBytes = target.length;
      if (target.length <= fastLinkBytes) inline = target;
      else facts.extents = this.write(target);
    }
    const xattrs = encodeXattrs(node.xattrs, inodeBytes - extraFieldsEnd);
    const xattrBlock = xattrs.block === undefined ? 0 : (this.write(xattrs.block)[0]?.start ?? 0);
    const leaves = this.leaves(facts.extents);
    const inode = encodeInode(node, { ...facts, inline, leaves, xattrBlock, directoryLinks: directoryLinks(node) });
    xattrs.inInode?.copy(inode, extraFieldsEnd);
    this.put(node.inode, inode);
  }

  /** More extents than an inode holds go into blocks of their own. */
  private leaves(extents: readonly Extent[]): { firstFileBlock: number; block: number }[] {
    if (extents.length <= inlineExtents) return [];
    const leaves: { firstFileBlock: number; block: number }[] = [];
    let fileBlock = 0;
    for (let at = 0; at < extents.length; at += extentsPerBlock) {
      const part = extents.slice(at, at + extentsPerBlock);
      const block = Buffer.alloc(blockBytes);
      block.writeUInt16LE(0xf30a, 0);
      block.writeUInt16LE(part.length, 2);
      block.writeUInt16LE(extentsPerBlock, 4);
      const firstFileBlock = fileBlock;
      for (const [index, extent] of part.entries()) {
        block.writeUInt32LE(fileBlock, 12 + index * 12);
        block.writeUInt16LE(extent.count, 16 + index * 12);
        block.writeUInt32LE(extent.start, 20 + index * 12);
        fileBlock += extent.count;
      }
      leaves.push({ firstFileBlock, block: this.write(block)[0]?.start ?? 0 });
    }
    return leaves;
  }

  private write(data: Buffer): Extent[] {
    const content = this.disk.contents.file(data.length);
    content.write(data);
    return content.extents;
  }

  private put(number: number, inode: Buffer): void {
    const { inodesPerGroup } = this.disk.geometry;
    const group = Math.floor((number - 1) / inodesPerGroup);
    if (group !== this.group) this.flush(group);
    inode.copy(this.buffer, ((number - 1) % inodesPerGroup) * inodeBytes);
  }

  private flush(next: number): void {
    writeSync(this.disk.fd, this.buffer, 0, this.buffer.length, placesOf(this.disk.geometry, this.group).inodeTable * blockBytes);
    this.buffer.fill(0);
    this.group = next;
  }

  finish(nodes: readonly ImageNode[]): { usedBytes: number } {
    this.flush(this.group);
    const { fd, geometry, contents, id } = this.disk;
    contents.flush();
    const last = contents.lastBlock;
    const bitmaps = blockBitmaps(geometry, last, contents.freed);
    const usedInodes = firstFreeInode - 1 + nodes.length - 1;
    const directories = directoriesPerGroup(nodes, geometry);
    const uuid = createHash("sha256").update(id).digest().subarray(0, 16);
    const described = groupDescriptors(geometry, { uuid, bitmaps, usedInodes, directories });
    for (let group = 0; group < geometry.groups; group += 1) {
      const places = placesOf(geometry, group);
      writeSync(fd, bitmaps[group] as Buffer, 0, blockBytes, places.blockBitmap * blockBytes);
      const inodeBitmap = inodeBitmapOf(geometry, group, usedInodes);
      if (inodeBitmap !== undefined) writeSync(fd, inodeBitmap, 0, blockBytes, places.inodeBitmap * blockBytes);
      if (places.blockBitmap === places.first) continue;
      const block = superblock(geometry, { uuid, group, freeBlocks: described.freeBlocks, usedInodes });
      writeSync(fd, block, 0, block.length, places.first * blockBytes + (group === 0 ? 1024 : 0));
      writeSync(fd, described.table, 0, described.table.length, (places.first + 1) * blockBytes);
    }
    return { usedBytes: last * blockBytes };
  }
}

/** Entries of other directories that are `..` to this one. */
function directoryLinks(node: ImageNode): number {
  if (node.kind !== "directory") return 0;
  let links = 2;
  for (const { node: child } of node.children?.values() ?? []) if (child.kind === "directory") links += 1;
  return links;
}

function blockBitmaps(geometry: Geometry, nextBlock: number, freed: readonly Extent[]): Buffer[] {
  const bitmaps = Array.from({ length: geometry.groups }, (_, group) => {
    const places = placesOf(geometry, group);
    const bitmap = Buffer.alloc(blockBytes);
    setBits(bitmap, 0, places.data - places.first, true);
    if (nextBlock > places.data) setBits(bitmap, places.data - places.first, Math.min(nextBlock, places.end) - places.first, true);
    return bitmap;
  });
  for (const { start, count } of freed) {
    const group = Math.floor(start / blocksPerGroup);
    setBits(bitmaps[group] as Buffer, start % blocksPerGroup, (start % blocksPerGroup) + count, false);
  }
  return bitmaps;
}

function inodeBitmapOf(geometry: Geometry, group: number, usedInodes: number): Buffer | undefined {
  const used = Math.min(geometry.inodesPerGroup, usedInodes - group * geometry.inodesPerGroup);
  if (used <= 0) return undefined;
  const bitmap = Buffer.alloc(blockBytes, 0xff);
  setBits(bitmap, used, geometry.inodesPerGroup, false);
  return bitmap;
}

function directoriesPerGroup(nodes: readonly ImageNode[], geometry: Geometry): number[] {
  const counts = Array.from({ length: geometry.groups }, () => 0);
  for (const node of nodes) {
    if (node.kind !== "directory") continue;
    const group = Math.floor((node.inode - 1) / geometry.inodesPerGroup);
    counts[group] = (counts[group] ?? 0) + 1;
  }
  return counts;
}

function setBits(bitmap: Buffer, from: number, to: number, value: boolean): void {
  for (let bit = from; bit < to;) {
    if (bit % 8 === 0 && to - bit >= 8) {
      const bytes = Math.floor((to - bit) / 8);
      bitmap.fill(value ? 0xff : 0, bit / 8, bit / 8 + bytes);
      bit += bytes * 8;
      continue;
    }
    const mask = 1 << (bit % 8);
    bitmap[bit >> 3] = value ? (bitmap[bit >> 3] as number) | mask : (bitmap[bit >> 3] as number) & ~mask;
    bit += 1;
  }
}
