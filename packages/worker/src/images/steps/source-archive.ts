/**
 * The source of a project, as its archive lies on this host: what copy steps take of it. Read in one pass for digests (their keys) and in another
 * for the bytes; nothing is unpacked here. Modes are plain, as in the tree the project was compiled in.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { ImageError } from "../image-error.ts";
import { type LayerEntry, LayerReader } from "../layers/layer-reader.ts";
import { ignoreFilter } from "./ignore-patterns.ts";
import { endOfTar, tarHeader, tarPadding } from "./pack-tar.ts";

export interface SourceEntry {
  path: string;
  kind: "file" | "directory" | "symlink";
  mode: number;
  sizeBytes: number;
  target: string;
  /** Of a file's content. */
  digest: string;
}

export type CopySource = { kind: "file"; path: string } | { kind: "directory"; path: string; ignore: readonly string[] };

export interface Selection {
  /** Of names, modes and contents. */
  digest: string;
  /** Of what is sent: a file's bytes, or a tar. */
  bytes: number;
  file: { name: string; mode: number } | undefined;
  stream(): AsyncIterable<Buffer>;
}

const limits = { entriesMax: 100_000, bytesMax: 4 * 1024 * 1024 * 1024 };
const readBytes = 1024 * 1024;

export class SourceArchive {
  private readonly archive: string;
  private readonly entries: Map<string, SourceEntry>;

  private constructor(archive: string, entries: Map<string, SourceEntry>) {
    this.archive = archive;
    this.entries = entries;
  }

  static async read(archive: string, signal: AbortSignal): Promise<SourceArchive> {
    const entries = new Map<string, SourceEntry>();
    let open: { entry: SourceEntry; hash: Hash } | undefined;
    await readTar(archive, signal, {
      entry: (header) => {
        const entry = sourceEntry(header);
        if (entry === undefined) return;
        entries.set(entry.path, entry);
        if (entry.kind === "file") open = { entry, hash: createHash("sha256") };
      },
      data: (chunk) => void open?.hash.update(chunk),
      endFile: () => {
        if (open !== undefined) open.entry.digest = open.hash.digest("hex");
        open = undefined;
      },
    });
    return new SourceArchive(archive, entries);
  }

  /** A file, not behind a link. */
  has(path: string): boolean {
    return this.entries.get(path)?.kind === "file";
  }

  /** The root is one; others need no entry of their own. */
  hasDirectory(path: string): boolean {
    return path === "" || this.entries.get(path)?.kind === "directory" || this.entries.keys().some((one) => one.startsWith(`${path}/`));
  }

  select(source: CopySource, signal: AbortSignal): Selection {
    const path = cleanPath(source.path);
    this.refuseLinks(path, source.path);
    return source.kind === "file" ? this.selectFile(path, source.path, signal) : this.selectDirectory(path, source, signal);
  }

  private selectFile(path: string, shown: string, signal: AbortSignal): Selection {
    const entry = this.entries.get(path);
    if (entry?.kind !== "file") throw missing("file", shown);
    return {
      digest: digestOf([[entry.kind, entry.mode, entry.digest]]),
      bytes: entry.sizeBytes,
      file: { name: path.split("/").at(-1) ?? path, mode: entry.mode },
      stream: () => this.contents(new Map([[path, undefined]]), signal),
    };
  }

  private selectDirectory(path: string, source: Extract<CopySource, { kind: "directory" }>, signal: AbortSignal): Selection {
    const prefix = path === "" ? "" : `${path}/`;
    const ignored = ignoreFilter(source.ignore);
    const wanted = new Map<string, SourceEntry>();
    let isThere = path === "" || this.entries.get(path)?.kind === "directory";
    for (const [full, entry] of this.entries) {
      if (!full.startsWith(prefix) || full === path) continue;
      isThere = true;
      const relative = full.slice(prefix.length);
      if (!ignored(relative)) wanted.set(full, { ...entry, path: relative });
    }
    if (!isThere) throw missing("directory", source.path);
    const sorted = new Map([...wanted].toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    const rows = [...sorted.values()].map((entry) => [
      entry.path,
      entry.kind,
      entry.mode,
      entry.kind === "file" ? entry.digest : entry.target,
    ]);
    let bytes = endOfTar.length;
    for (const entry of sorted.values())
      bytes += tarHeader(entry).length + (entry.kind === "file" ? entry.sizeBytes + tarPadding(entry.sizeBytes).length : 0);
    return { digest: digestOf(rows), bytes, file: undefined, stream: () => this.pack(sorted, signal) };
  }

  /** No component of a source may be a link (sdk §2.2). */
  private refuseLinks(path: string, shown: string): void {
    const parts = path.split("/");
    for (let count = 1; count <= parts.length; count += 1)
      if (this.entries.get(parts.slice(0, count).join("/"))?.kind === "symlink")
        throw new ImageError(
          "step_invalid",
          `The source ${JSON.stringify(shown)} of a copy step has a symbolic link in it; name the real path`,
        );
  }

  /** Directories and links first: their names are known; then files in the order of the archive. */
  private async *pack(wanted: ReadonlyMap<string, SourceEntry>, signal: AbortSignal): AsyncIterable<Buffer> {
    for (const entry of wanted.values()) if (entry.kind !== "file") yield tarHeader(entry);
    const files = new Map([...wanted].filter(([, entry]) => entry.kind === "file"));
    yield* this.contents(files, signal);
    yield endOfTar;
  }

  /** Bytes of files; with their headers and padding where an entry is given. */
  private async *contents(wanted: ReadonlyMap<string, SourceEntry | undefined>, signal: AbortSignal): AsyncIterable<Buffer> {
    let out: Buffer[] = [];
    let current: { entry: SourceEntry | undefined } | undefined;
    const reader = new LayerReader(
      {
        entry: (header) => {
          const entry = sourceEntry(header);
          current = entry?.kind === "file" && wanted.has(entry.path) ? { entry: wanted.get(entry.path) } : undefined;
          if (current?.entry !== undefined) out.push(tarHeader(current.entry));
        },
        data: (chunk) => {
          if (current !== undefined) out.push(Buffer.from(chunk));
        },
        endFile: () => {
          if (current?.entry !== undefined) out.push(tarPadding(current.entry.sizeBytes));
          current = undefined;
        },
      },
      limits,
    );
    for await (const chunk of createReadStream(this.archive, { highWaterMark: readBytes, signal })) {
      reader.push(chunk as Buffer);
      yield* out;
      out = [];
    }
  }
}

async function readTar(archive: string, signal: AbortSignal, visitor: ConstructorParameters<typeof LayerReader>[0]): Promise<void> {
  const reader = new LayerReader(visitor, limits);
  for await (const chunk of createReadStream(archive, { highWaterMark: readBytes, signal })) reader.push(chunk as Buffer);
  reader.finish();
}

function sourceEntry(header: LayerEntry): SourceEntry | undefined {
  const path = cleanPath(Buffer.from(header.path, "latin1").toString("utf8"));
  if (path === "" || header.kind === "hardlink" || header.kind === "fifo") return undefined;
  const mode = header.kind === "directory" || (header.mode & 0o111) !== 0 ? 0o755 : 0o644;
  const target = Buffer.from(header.linkTarget, "latin1").toString("utf8");
  return { path, kind: header.kind, mode, sizeBytes: header.sizeBytes, target: header.kind === "symlink" ? target : "", digest: "" };
}

function cleanPath(path: string): string {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
}

function digestOf(rows: readonly (readonly (string | number)[])[]): string {
  return `sha256:${createHash("sha256").update(JSON.stringify(rows)).digest("hex")}`;
}

function missing(kind: string, path: string): ImageError {
  return new ImageError(
    "copy_missing",
    `A copy step takes the ${kind} ${JSON.stringify(path)}, which is not in the deployed source. It must be in the project and not be left out by ignorePatterns (.env files, .git and node_modules always are)`,
  );
}
