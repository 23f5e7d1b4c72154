/** The source archive as a tree: limits and rules of http §9.1, modes and times that depend on nothing but the archive. */
import { limits } from "@helmr/protocol/shared";
import type { ConfinedTree } from "../supervisor/confined-tree.ts";
import { drain } from "../supervisor/file-contents.ts";
import type { IncomingStream } from "../supervisor/incoming-stream.ts";
import { TarExtractor } from "../tar/extract.ts";
import { TarError } from "../tar/headers.ts";
import { ProjectError } from "./builder-pipe.ts";

export interface UnpackOptions {
  tree: ConfinedTree;
  target: string;
  owner: { uid: number; gid: number };
  bytes: number;
}

export async function unpackSource(source: IncomingStream, options: UnpackOptions): Promise<{ entries: number; bytes: number }> {
  const { tree, target, owner } = options;
  const extractor = new TarExtractor({
    tree,
    target,
    owner,
    entriesMax: limits.deploymentEntriesMax,
    bytesMax: limits.deploymentUnpackedBytesMax,
    modifiedSeconds: 0,
    plainModes: true,
  });
  try {
    const length = await drain(source, (chunk) => extractor.push(chunk));
    if (length !== options.bytes)
      throw new ProjectError("bad_request", `The source archive has ${length} bytes instead of ${options.bytes}`);
    extractor.finish();
    return { entries: extractor.entries, bytes: extractor.bytes };
  } catch (error) {
    source.discard();
    throw error instanceof TarError ? new ProjectError("bad_request", error.message) : error;
  } finally {
    extractor.abort();
  }
}
