/**
 * The tree of an image in memory while its layers are applied: names and attributes only, contents are on the disk already. Names are bytes, one
 * character each (latin1), because a file system knows no encoding.
 */
import type { Extent } from "../ext4/disk-layout.ts";

export interface NodeFacts {
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNs: number;
  /** By full name (`security.capability`). */
  xattrs?: ReadonlyMap<string, Buffer> | undefined;
}

export interface ImageNode extends NodeFacts {
  kind: "file" | "directory" | "symlink" | "fifo";
  sizeBytes: number;
  extents: Extent[];
  target: string;
  children: Map<string, Entry> | undefined;
  /** Names of this node; directories have one. */
  links: number;
  inode: number;
}

export interface Entry {
  node: ImageNode;
  /** The layer that made or touched this name, a name below it included. */
  layer: number;
}

export function directoryNode(facts: NodeFacts): ImageNode {
  return { ...facts, kind: "directory", sizeBytes: 0, extents: [], target: "", children: new Map(), links: 1, inode: 0 };
}

export function shownName(name: string): string {
  return JSON.stringify(Buffer.from(name.slice(0, 300), "latin1").toString("utf8"));
}
