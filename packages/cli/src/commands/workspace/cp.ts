import { createWriteStream } from "node:fs";
import { lstat, mkdir, symlink } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import type { FileEntry } from "@helmr/protocol/api";
import { argument, environmentCommand, optionalArgument, text, toggle } from "../../command.ts";
import type { Output } from "../../terminal/output.ts";
import { Failure } from "../../failure.ts";
import type { ApiClient } from "../../http/api-client.ts";
import { allEntries, type SourceQuery, sourceQuery } from "./file-source.ts";
import { uploadTree } from "./upload-tree.ts";
import { exampleVersion, exampleWorkspace } from "./lines.ts";

export const workspaceCp = environmentCommand({
  name: "workspace cp",
  summary: "download a file or a directory without a machine, or upload one",
  details:
    "Downloads are of the current version, or of another one. Nothing that exists is overwritten. Symbolic links stay links. With - as the destination a file goes to stdout. " +
    "With --upload PATH is a file or directory here and DEST its place in the workspace, which is mounted when it has to; what exists there is replaced.",
  examples: [
    { says: "a file to stdout", command: `helmr workspace cp ${exampleWorkspace} README.md -` },
    {
      says: "a directory of an old version",
      command: `helmr workspace cp ${exampleWorkspace} src ./src-before --version ${exampleVersion}`,
    },
    { says: "a directory from here", command: `helmr workspace cp ${exampleWorkspace} ./src src --upload` },
  ],
  args: {
    workspace: argument("WORKSPACE", "id of the workspace"),
    path: argument("PATH", "file or directory in the workspace; with --upload one that is here"),
    destination: optionalArgument("DEST", "what it becomes; default: its own name in this directory, or in the workspace"),
  },
  flags: {
    version: text("VERSION", "id of a version; default: the current one"),
    upload: toggle("copy from here into the workspace"),
  },
  async run(context) {
    const { args, flags, out } = context;
    const api = await context.environment();
    if (flags.upload) {
      if (flags.version !== undefined) throw new Failure("--version is of downloads: a version never changes");
      const local = path.resolve(context.host.cwd, args.path);
      const target = args.destination ?? path.basename(local);
      await uploadTree(api, { workspace: args.workspace, local, target });
      return out.line(target);
    }
    const copy = new Download(api, { workspace: args.workspace, source: sourceQuery(flags.version) });
    if (args.destination === "-") return copy.print(args.path, out);
    const entry = await copy.stat(args.path);
    const name = path.basename(entry.path);
    if (args.destination === undefined && entry.path === ".") throw new Failure("DEST is required for the workspace itself");
    const target = path.resolve(context.host.cwd, args.destination ?? name);
    await copy.entry(entry, target);
    return out.line(target);
  },
});

class Download {
  readonly #api: ApiClient;
  readonly #from: { workspace: string; source: SourceQuery };

  constructor(api: ApiClient, from: { workspace: string; source: SourceQuery }) {
    this.#api = api;
    this.#from = from;
  }

  async stat(file: string): Promise<FileEntry> {
    const { workspace, source } = this.#from;
    return (await this.#api.call("files.stat", { params: { id: workspace }, query: { path: file, ...source } })).entry;
  }

  async print(file: string, out: Output): Promise<void> {
    for await (const piece of (await this.#content(file)) as AsyncIterable<Uint8Array>) {
      if (out.broken) return;
      await out.write(piece);
    }
  }

  async entry(entry: FileEntry, target: string): Promise<void> {
    await expectNothing(target);
    switch (entry.kind) {
      case "file":
        // `wx`: a link that somebody put there meanwhile is not followed.
        await pipeline(await this.#content(entry.path), createWriteStream(target, { flags: "wx", mode: entry.mode & 0o777 }));
        return;
      case "symlink":
        await symlink(entry.link_target ?? "", target);
        return;
      case "directory":
        await this.#directory(entry, target);
        return;
      default:
        throw new Failure(`${entry.path} is a ${String(entry.kind)}, which cannot be downloaded`);
    }
  }

  async #directory(entry: FileEntry, target: string): Promise<void> {
    await mkdir(target, { mode: (entry.mode & 0o777) | 0o700 });
    for await (const child of allEntries(this.#api, { ...this.#from, path: entry.path })) {
      const name = path.posix.basename(child.path);
      // The names are a guest's: none may lead out of the directory that is made here.
      if (name === "" || name === "." || name === ".." || name.includes(path.sep)) throw new Failure(`${child.path} is no name of a file`);
      await this.entry(child, path.join(target, name));
    }
  }

  #content(file: string) {
    const { workspace, source } = this.#from;
    return this.#api.content("files.content", { params: { id: workspace }, query: { path: file, ...source } });
  }
}

async function expectNothing(target: string): Promise<void> {
  const there = await lstat(target).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw new Failure(`${target} cannot be written: ${error.message}`, { cause: error });
    },
  );
  if (there) throw new Failure(`${target} exists already: name another destination`);
}
