/**
 * The rules of a deployment's source archive (http §9.1), checked on the stored bytes before anybody unpacks them: a plain tar with bounded size and
 * number of entries, only files, directories and symbolic links, no path that leaves the root, no link that points out of it.
 */
import { posix } from "node:path";
import type { Readable } from "node:stream";
import { limits } from "@helmr/protocol/shared";
import { extract, type Header } from "tar-stream";

/** A sentence when the archive is refused. */
export async function checkSourceArchive(bytes: Readable): Promise<string | undefined> {
  const archive = extract();
  let entries = 0;
  let total = 0;
  const fault = (error: unknown) => `the source archive is not a plain tar: ${(error as Error).message}`;
  bytes.on("error", (error) => archive.destroy(error));
  bytes.pipe(archive);
  try {
    for await (const entry of archive) {
      entries += 1;
      total += entry.header.size ?? 0;
      const problem = entryProblem(entry.header as PaxHeader, { entries, total });
      if (problem) return problem;
      entry.resume();
    }
  } catch (error) {
    return fault(error);
  } finally {
    bytes.destroy();
    archive.destroy();
  }
  return entries === 0 ? "the source archive is empty or not a plain tar" : undefined;
}

const plainTypes: ReadonlySet<string | null | undefined> = new Set(["file", "contiguous-file", "directory", "symlink"]);

/** tar-stream keeps the records of extended headers. */
type PaxHeader = Header & { pax?: Record<string, string> | null };

function entryProblem(header: PaxHeader, seen: { entries: number; total: number }): string | undefined {
  const { name, type, linkname } = header;
  const shown = JSON.stringify(name.slice(0, 200));
  if (seen.entries > limits.deploymentEntriesMax) return `the source archive has more than ${limits.deploymentEntriesMax} entries`;
  if (seen.total > limits.deploymentUnpackedBytesMax)
    return `the source archive is larger than ${limits.deploymentUnpackedBytesMax} bytes when it is unpacked`;
  if (name.includes("\0")) return `the source archive has the entry ${shown}, whose name holds a NUL character`;
  if (escapes(name)) return `the source archive has the entry ${shown}, which is outside of the project`;
  if (type === "link") return `the source archive has the hard link ${shown}; hard links are not accepted`;
  if (!plainTypes.has(type))
    return `the source archive has the entry ${shown} of type ${type ?? "unknown"}; only files, directories and symbolic links are accepted`;
  if (Object.keys(header.pax ?? {}).some((key) => key.startsWith("GNU.sparse.")))
    return `the source archive has the sparse file ${shown}; sparse files are not accepted`;
  if (type === "symlink" && (!linkname || linkEscapes(name, linkname)))
    return `the source archive has the symbolic link ${shown}, which points out of the project`;
  return undefined;
}

/** Absolute, or above the root somewhere on the way. */
function escapes(path: string): boolean {
  if (path.startsWith("/") || path === "") return true;
  return posix.normalize(path).split("/")[0] === "..";
}

function linkEscapes(name: string, target: string): boolean {
  return target.includes("\0") || target.startsWith("/") || escapes(posix.join(posix.dirname(name), target));
}
