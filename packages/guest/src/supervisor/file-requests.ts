/** One `file` request: chooses the operation, bounds how many run at once, and turns what the file system says into the protocol's codes. */
import type { FileOperation } from "@helmr/protocol/guest";
import { TarError } from "../tar/headers.ts";
import { findAccount } from "./accounts.ts";
import type { Attachment } from "./attachment.ts";
import { PathError } from "./confined-tree.ts";
import { downloadTree, readContent, uploadTree, writeContent } from "./file-contents.ts";
import { type HostLink, RequestError } from "./host-link.ts";
import type { IncomingStream } from "./incoming-stream.ts";
import { guestLimits } from "./limits.ts";
import { type FileOwner, listDirectory, makeDirectory, moveFile, removeFile, statFile } from "./live-files.ts";

export class FileRequests {
  private readonly link: HostLink;
  private underWay = 0;

  constructor(link: HostLink) {
    this.link = link;
  }

  async handle(operation: FileOperation, attachment: Attachment): Promise<unknown> {
    if (this.underWay >= guestLimits.fileOperationsMax) {
      throw new RequestError("limit", `${guestLimits.fileOperationsMax} file operations are under way already`, { retryable: true });
    }
    this.underWay += 1;
    try {
      return await this.perform(operation, attachment);
    } catch (error) {
      throw refusal(error, operation);
    } finally {
      this.underWay -= 1;
    }
  }

  private async perform(operation: FileOperation, attachment: Attachment): Promise<unknown> {
    const tree = attachment.workspace;
    if (tree === undefined) throw new RequestError("not_found", "No workspace is mounted here");
    switch (operation.kind) {
      case "list":
        return listDirectory(tree, operation);
      case "stat":
        return statFile(tree, operation.path);
      case "read":
        return this.answering(operation.stream, (stream) => readContent(tree, operation, stream));
      case "write":
        return writeContent(tree, operation, { stream: this.source(operation.stream), owner: ownerOf(attachment) });
      case "mkdir":
        return makeDirectory(tree, operation, ownerOf(attachment));
      case "move":
        return moveFile(tree, operation);
      case "remove":
        return removeFile(tree, operation);
      case "upload":
        return uploadTree({ tree, path: operation.path, owner: ownerOf(attachment) }, this.source(operation.stream));
      case "download":
        return this.answering(operation.stream, (stream) => downloadTree(tree, operation.path, stream));
      default:
        throw new RequestError("bad_request", `There is no file operation ${JSON.stringify((operation as { kind?: unknown }).kind)}`);
    }
  }

  private source(stream: number): IncomingStream {
    const source = this.link.takeIncoming(stream);
    if (source === undefined) throw new RequestError("bad_request", `Stream ${stream} is not open`);
    return source;
  }

  /** A request that is refused leaves no stream open. */
  private answering<T>(id: number, start: (stream: ReturnType<HostLink["openOutgoing"]>) => T): T {
    const stream = this.link.openOutgoing(id);
    try {
      return start(stream);
    } catch (error) {
      stream.stop();
      throw error;
    }
  }
}

function ownerOf(attachment: Attachment): FileOwner {
  const found = findAccount(attachment.user, attachment.accounts());
  return found.ok ? found.account : { uid: 0, gid: 0 };
}

const codes: Record<string, ConstructorParameters<typeof RequestError>[0]> = {
  ENOENT: "not_found",
  ENOTDIR: "not_directory",
  EISDIR: "not_regular",
  EEXIST: "exists",
  ENOTEMPTY: "exists",
  ELOOP: "not_regular",
  ENXIO: "not_regular",
  ENOSPC: "no_space",
  EDQUOT: "no_space",
  EPERM: "permission_denied",
  EACCES: "permission_denied",
  EROFS: "permission_denied",
  EBUSY: "permission_denied",
  EXDEV: "bad_path",
  ENAMETOOLONG: "bad_path",
  EINVAL: "bad_path",
};

function refusal(error: unknown, operation: FileOperation): unknown {
  if (error instanceof PathError) {
    const code = error.problem === "not_found" || error.problem === "not_directory" ? error.problem : "bad_path";
    return new RequestError(code, error.message, { cause: error });
  }
  if (error instanceof TarError) return new RequestError("bad_request", error.message, { cause: error });
  const { code } = error as NodeJS.ErrnoException;
  const mapped = code === undefined ? undefined : codes[code];
  if (mapped === undefined) return error;
  const path = operation.kind === "move" ? `${operation.from} → ${operation.to}` : operation.path;
  return new RequestError(mapped, `Cannot ${operation.kind} ${path}: ${code}`, { cause: error });
}
