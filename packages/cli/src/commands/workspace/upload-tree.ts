/** A local file or directory goes into a workspace: a file as it is, a directory as a tar that is unpacked there. Links stay links. */
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, mkdtemp, readdir, readlink, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";
import { Failure, reasonOf } from "../../failure.ts";
import type { ApiClient } from "../../http/api-client.ts";

export interface TreeUpload {
  workspace: string;
  /** Absolute. */
  local: string;
  /** In the workspace. */
  target: string;
}

export async function uploadTree(api: ApiClient, { workspace, local, target }: TreeUpload): Promise<void> {
  const info = await lstat(local).catch((error: unknown) => {
    throw new Failure(`${local} cannot be read: ${reasonOf(error)}`, { cause: error });
  });
  const params = { id: workspace };
  if (info.isFile()) {
    const body = { bytes: info.size, open: () => createReadStream(local) };
    const query = { path: target, mode: String(info.mode & 0o777) };
    await api.upload("files.write", { contentType: "application/octet-stream", body }, { params, query });
    return;
  }
  if (!info.isDirectory()) throw new Failure(`${local} is neither a file nor a directory`);
  const directory = await mkdtemp(path.join(tmpdir(), "helmr-upload-"));
  try {
    const file = path.join(directory, "tree.tar");
    const archive = pack();
    await Promise.all([pipeline(archive, createWriteStream(file)), packTree(archive, local, target)]);
    const body = { bytes: (await stat(file)).size, open: () => createReadStream(file) };
    await api.upload("files.upload", { contentType: "application/x-tar", body }, { params, query: { path: "." } });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function packTree(archive: Pack, local: string, target: string): Promise<void> {
  const segments = target.split("/").filter((segment) => segment !== "" && segment !== ".");
  for (let depth = 1; depth <= segments.length; depth += 1)
    archive.entry({ name: `${segments.slice(0, depth).join("/")}/`, type: "directory" });
  await packDirectory(archive, local, segments.join("/"));
  archive.finalize();
}

async function packDirectory(archive: Pack, local: string, prefix: string): Promise<void> {
  for (const item of await readdir(local, { withFileTypes: true })) {
    const from = path.join(local, item.name);
    const name = prefix === "" ? item.name : `${prefix}/${item.name}`;
    if (item.isSymbolicLink()) archive.entry({ name, type: "symlink", linkname: await readlink(from) });
    else if (item.isDirectory()) {
      const { mode } = await stat(from);
      archive.entry({ name: `${name}/`, type: "directory", mode: mode & 0o777 });
      await packDirectory(archive, from, name);
    } else if (item.isFile()) {
      const { size, mode, mtime } = await stat(from);
      // What a file is longer by now than it was a moment ago stays behind.
      const header = { name, size, mode: mode & 0o777, mtime };
      if (size === 0) archive.entry(header, "");
      else await pipeline(createReadStream(from, { end: size - 1 }), archive.entry(header));
    }
  }
}
