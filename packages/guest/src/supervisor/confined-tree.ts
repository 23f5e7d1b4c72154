/**
 * A directory tree that cannot be left by any path or symbolic link, while processes of the tenant may change it at the same time.
 *
 * Paths are walked component by component over directory descriptors (`/proc/self/fd/N/name` is what `openat` is elsewhere), so a directory
 * that is replaced by a link between two steps changes nothing. Links are followed by hand: an absolute target starts at `linkRoot` inside the
 * tree (the tree may itself be mounted somewhere in what the tenant sees), and one that leaves the tree is refused.
 */
import { closeSync, constants, mkdirSync, openSync, readlinkSync } from "node:fs";
import { guestLimits } from "./limits.ts";

const pathOnly = 0o10000000; // O_PATH
const directoryFlags = constants.O_DIRECTORY | constants.O_NOFOLLOW | pathOnly;

export type PathProblem = "not_found" | "not_directory" | "outside" | "too_many_links" | "invalid";

export class PathError extends Error {
  override name = "PathError";
  readonly problem: PathProblem;
  constructor(problem: PathProblem, path: string) {
    super(sentences[problem](path));
    this.problem = problem;
  }
}

const sentences: Record<PathProblem, (path: string) => string> = {
  not_found: (path) => `${path} does not exist`,
  not_directory: (path) => `${path} has a component that is not a directory`,
  outside: (path) => `${path} leaves the tree`,
  too_many_links: (path) => `${path} has too many symbolic links`,
  invalid: (path) => `${JSON.stringify(path)} is not a path`,
};

/** A place in the tree: `path` works with every fs call until `close`. `name` is empty for the root of the tree. */
export interface Place {
  readonly path: string;
  readonly directoryFd: number;
  readonly name: string;
  close(): void;
}

export interface ConfinedTree {
  /** Follows links in all components but, unless `followLast`, the last one. The last one need not exist. */
  locate(path: string, options?: { followLast?: boolean; makeParents?: number }): Place;
  close(): void;
}

export function openTree(root: string, linkRoot: string): ConfinedTree {
  const rootFd = openSync(root, constants.O_DIRECTORY | pathOnly);
  return {
    locate: (path, options = {}) => new Walk(rootFd, linkRoot, path).run(options),
    close: () => closeSync(rootFd),
  };
}

class Walk {
  private readonly original: string;
  private readonly linkRoot: string;
  private readonly pending: string[];
  /** Descriptors from the root of the tree to the present directory. */
  private readonly stack: number[];
  private links = 0;

  constructor(rootFd: number, linkRoot: string, path: string) {
    if (path.includes("\0")) throw new PathError("invalid", path);
    this.original = path;
    this.linkRoot = linkRoot;
    this.pending = components(path);
    this.stack = [rootFd];
  }

  run(options: { followLast?: boolean; makeParents?: number }): Place {
    try {
      for (;;) {
        const name = this.pending.shift();
        if (name === undefined) return this.place("");
        if (name === "..") this.ascend();
        else if (this.pending.length > 0) this.descend(name, options.makeParents);
        else if (options.followLast !== true || !this.followLink(name)) return this.place(name);
      }
    } catch (error) {
      this.closeAbove(1);
      throw error;
    }
  }

  private place(name: string): Place {
    const directoryFd = this.stack.pop() as number;
    const owned = this.stack.length > 0;
    this.closeAbove(1);
    const directory = `/proc/self/fd/${directoryFd}`;
    return {
      directoryFd,
      name,
      path: name === "" ? `${directory}/.` : `${directory}/${name}`,
      close: () => {
        if (owned) closeSync(directoryFd);
      },
    };
  }

  private ascend(): void {
    if (this.stack.length === 1) throw new PathError("outside", this.original);
    closeSync(this.stack.pop() as number);
  }

  private descend(name: string, makeParents: number | undefined): void {
    const path = this.child(name);
    try {
      this.stack.push(openSync(path, directoryFlags));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" && makeParents !== undefined) {
        mkdirSync(path, { mode: makeParents });
        this.stack.push(openSync(path, directoryFlags));
      } else if (code === "ENOENT") throw new PathError("not_found", this.original);
      else if (code !== "ENOTDIR" && code !== "ELOOP") throw error;
      else if (!this.followLink(name)) throw new PathError("not_directory", this.original);
    }
  }

  /** Puts the target of a link before what is left; false when it is none. */
  private followLink(name: string): boolean {
    let target: string;
    try {
      target = readlinkSync(this.child(name));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EINVAL" || code === "ENOENT") return false;
      throw error;
    }
    this.links += 1;
    if (this.links > guestLimits.symlinksMax) throw new PathError("too_many_links", this.original);
    if (target.startsWith("/")) {
      const inside = below(target, this.linkRoot);
      if (inside === undefined) throw new PathError("outside", this.original);
      this.closeAbove(1);
      this.pending.unshift(...components(inside));
    } else {
      this.pending.unshift(...components(target));
    }
    return true;
  }

  private child(name: string): string {
    return `/proc/self/fd/${this.stack.at(-1)}/${name}`;
  }

  private closeAbove(keep: number): void {
    while (this.stack.length > keep) closeSync(this.stack.pop() as number);
  }
}

function components(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** `/workspace/a/b` below `/workspace` is `a/b`; undefined when it is not below. Only text: `..` behind it is checked by the walk. */
function below(target: string, linkRoot: string): string | undefined {
  const clean = `/${components(target).join("/")}`;
  if (linkRoot === "/") return clean;
  if (clean === linkRoot) return "";
  return clean.startsWith(`${linkRoot}/`) ? clean.slice(linkRoot.length) : undefined;
}
