/** Blocks of a directory: entries one behind the other, none across the end of a block. */
import type { ImageNode } from "../layers/image-tree.ts";
import { blockBytes } from "./disk-layout.ts";

const types = { file: 1, directory: 2, fifo: 5, symlink: 7 } as const;

/** `node` and its children have their numbers; `..` is filled in by whoever writes the parent first (the tree is numbered from above). */
export function directoryBlocks(node: ImageNode): Buffer {
  const blocks: Buffer[] = [];
  let block = Buffer.alloc(blockBytes);
  let at = 0;
  let lastAt = 0;
  const add = (name: Buffer, inode: number, type: number) => {
    const length = Math.ceil((8 + name.length) / 4) * 4;
    if (at + length > blockBytes) {
      block.writeUInt16LE(blockBytes - lastAt, lastAt + 4);
      blocks.push(block);
      block = Buffer.alloc(blockBytes);
      at = 0;
    }
    block.writeUInt32LE(inode, at);
    block.writeUInt16LE(length, at + 4);
    block.writeUInt8(name.length, at + 6);
    block.writeUInt8(type, at + 7);
    name.copy(block, at + 8);
    lastAt = at;
    at += length;
  };
  add(Buffer.from("."), node.inode, types.directory);
  add(Buffer.from(".."), parents.get(node) ?? node.inode, types.directory);
  for (const [name, { node: child }] of node.children ?? []) {
    if (child.kind === "directory") parents.set(child, node.inode);
    add(Buffer.from(name, "latin1"), child.inode, types[child.kind]);
  }
  block.writeUInt16LE(blockBytes - lastAt, lastAt + 4);
  blocks.push(block);
  return Buffer.concat(blocks);
}

const parents = new WeakMap<ImageNode, number>();
