/**
 * Applies layers to the tree of an image, one after the other, as the OCI specification and container engines do it:
 *
 *   a name of an upper layer replaces the one below; two directories are merged and get the upper one's attributes
 *   `.wh.NAME` takes NAME of the layers below away, `.wh..wh..opq` everything in its directory; what the same layer brings stays
 *   symbolic links on the way to a name are followed inside the image, as if it were the root: nothing can be written elsewhere
 *
 * Contents go to the disk while they are read; what is taken away gives its blocks back.
 */
import type { Ext4Contents, FileContent } from "../ext4/contents.ts";
import { ImageError } from "../image-error.ts";
import { directoryNode, type Entry, type ImageNode, shownName } from "./image-tree.ts";
import type { LayerEntry, LayerVisitor } from "./layer-reader.ts";
import { malformed } from "./tar-headers.ts";

const whiteout = ".wh.";
const opaque = ".wh..wh..opq";
const linksFollowedMax = 40;
const depthMax = 1_000;
const nameBytesMax = 255;
const hardLinksMax = 60_000;
const targetBytesMax = 4_095;

/** Of a directory that no layer describes. */
const impliedDirectory = { mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNs: 0 };

interface Place {
  /** Entries from the root to the directory. */
  chain: Entry[];
  directory: ImageNode;
  name: string;
}

export class LayerApplier implements LayerVisitor {
  readonly root: Entry = { node: directoryNode(impliedDirectory), layer: 0 };
  private readonly contents: Ext4Contents;
  private layer = 0;
  private writing: { content: FileContent; node: ImageNode } | undefined;

  constructor(contents: Ext4Contents) {
    this.contents = contents;
  }

  beginLayer(): void {
    this.layer += 1;
  }

  entry(entry: LayerEntry): void {
    const parts = pathParts(entry.path);
    const name = parts.pop();
    if (name === undefined) {
      if (entry.kind !== "directory") throw malformed("an entry that is no directory has no name");
      Object.assign(this.root.node, factsOf(entry));
      return;
    }
    if (name.startsWith(whiteout)) {
      this.whiteOut(parts, name);
      return;
    }
    const place = this.place(parts, name, true) as Place;
    for (const above of place.chain) above.layer = this.layer;
    if (entry.kind === "hardlink") this.link(place, entry);
    else if (entry.kind === "directory") this.directory(place, entry);
    else this.put(place, { ...nodeOf(entry) });
  }

  data(chunk: Buffer): void {
    this.writing?.content.write(chunk);
  }

  endFile(): void {
    if (this.writing === undefined) return;
    this.writing.node.extents = this.writing.content.extents;
    this.writing = undefined;
  }

  private put({ directory, name }: Place, node: ImageNode): void {
    this.takeAway(directory, name);
    directory.children?.set(name, { node, layer: this.layer });
    if (node.kind === "file") this.writing = { content: this.contents.file(node.sizeBytes), node };
  }

  private directory(place: Place, entry: LayerEntry): void {
    const present = place.directory.children?.get(place.name);
    if (present?.node.kind !== "directory") {
      this.put(place, directoryNode(factsOf(entry)));
      return;
    }
    present.layer = this.layer;
    Object.assign(present.node, factsOf(entry));
  }

  private link(place: Place, entry: LayerEntry): void {
    const parts = pathParts(entry.linkTarget);
    const last = parts.pop();
    const target = last === undefined ? undefined : this.place(parts, last, false);
    const node = target?.directory.children?.get(target.name)?.node;
    const shown = `${shownName(entry.path)} is a hard link to ${shownName(entry.linkTarget)}`;
    if (node === undefined) throw malformed(`${shown}, which is not there`);
    if (node.kind === "directory") throw malformed(`${shown}, which is a directory`);
    if (node.links >= hardLinksMax) throw new ImageError("image_too_large", `${shown}, which has ${hardLinksMax} names already`);
    // Before the old name goes: it may be the same file.
    node.links += 1;
    this.takeAway(place.directory, place.name);
    place.directory.children?.set(place.name, { node, layer: this.layer });
  }

  private whiteOut(parts: string[], name: string): void {
    const place = this.place(parts, name, false);
    if (place === undefined) return;
    const { directory } = place;
    if (name === opaque) {
      for (const [child, entry] of directory.children ?? []) this.purge(directory, child, entry);
      return;
    }
    const hidden = name.slice(whiteout.length);
    const entry = directory.children?.get(hidden);
    if (entry !== undefined) this.purge(directory, hidden, entry);
  }

  /** Takes away what this layer has not brought. */
  private purge(directory: ImageNode, name: string, entry: Entry): void {
    if (entry.layer !== this.layer) this.takeAway(directory, name);
    else for (const [child, below] of entry.node.children ?? []) this.purge(entry.node, child, below);
  }

  private takeAway(directory: ImageNode, name: string): void {
    const entry = directory.children?.get(name);
    if (entry === undefined) return;
    directory.children?.delete(name);
    const { node } = entry;
    node.links -= 1;
    for (const child of node.children?.keys() ?? []) this.takeAway(node, child);
    if (node.links === 0) this.contents.free(node.extents);
  }

  /** The directory of a name, links in it followed; undefined when it is not there and shall not be made. */
  private place(parts: readonly string[], name: string, make: boolean): Place | undefined {
    const chain: Entry[] = [this.root];
    const pending = [...parts];
    let links = 0;
    for (let part = pending.shift(); part !== undefined; part = pending.shift()) {
      if (part === "..") {
        if (chain.length > 1) chain.pop();
        continue;
      }
      const { node } = chain.at(-1) as Entry;
      let next = node.children?.get(part);
      if (next === undefined) {
        if (!make) return undefined;
        next = { node: directoryNode(impliedDirectory), layer: this.layer };
        node.children?.set(part, next);
      }
      if (next.node.kind === "symlink") {
        links += 1;
        if (links > linksFollowedMax) throw malformed(`${shownName(parts.join("/"))} has too many symbolic links`);
        if (next.node.target.startsWith("/")) chain.length = 1;
        pending.unshift(...next.node.target.split("/").filter((one) => one !== "" && one !== "."));
      } else if (next.node.kind === "directory") chain.push(next);
      else if (make) throw malformed(`${shownName([...parts, name].join("/"))} is below ${shownName(part)}, which is no directory`);
      else return undefined;
      if (chain.length > depthMax) throw malformed(`${shownName(parts.join("/"))} is deeper than ${depthMax} directories`);
    }
    return { chain, directory: (chain.at(-1) as Entry).node, name };
  }
}

/** Absolute paths are below the image's root, as engines take them; `..` is refused. */
function pathParts(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes(".."))
    throw new ImageError("layer_path_escapes", `The image has an entry named ${shownName(path)}, which leaves its root`);
  const long = parts.find((part) => part.length > nameBytesMax);
  if (long !== undefined) throw malformed(`the name ${shownName(long)} is longer than ${nameBytesMax} bytes`);
  return parts;
}

function factsOf({ mode, uid, gid, mtimeSeconds, mtimeNs, xattrs }: LayerEntry) {
  return { mode, uid, gid, mtimeSeconds, mtimeNs, xattrs };
}

function nodeOf(entry: LayerEntry): ImageNode {
  const { kind } = entry;
  if (kind === "symlink" && (entry.linkTarget === "" || entry.linkTarget.includes("\0") || entry.linkTarget.length > targetBytesMax))
    throw malformed(`${shownName(entry.path)} is a symbolic link to ${shownName(entry.linkTarget)}`);
  return {
    ...factsOf(entry),
    kind: kind as ImageNode["kind"],
    mode: kind === "symlink" ? 0o777 : entry.mode,
    sizeBytes: entry.sizeBytes,
    extents: [],
    target: kind === "symlink" ? entry.linkTarget : "",
    children: undefined,
    links: 1,
    inode: 0,
  };
}
