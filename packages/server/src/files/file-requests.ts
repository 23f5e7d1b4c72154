/** What the main thread and the file thread say to each other. Plain data: it crosses a MessagePort. */
import type { OpeningKeys } from "../chunks/open-chunks.ts";
import type { OpenFile, TreeEntry, TreePage } from "../ext4/tree.ts";
import type { TextDiff } from "./text-diff.ts";
import type { TreeChanges } from "./tree-diff.ts";

/** One stored tree. */
export interface StoredTree {
  artifactId: string;
  manifestKey: string;
  digest: string;
  /** Where it is mounted in guests. */
  mountPath: string;
  keys: OpeningKeys;
}

/** A tree without an artifact is empty. */
export type AnyTree = StoredTree | undefined;

export interface FileRequests {
  list: { input: { tree: StoredTree; path: string; after: string | undefined; limit: number }; output: TreePage };
  stat: { input: { tree: StoredTree; path: string }; output: TreeEntry };
  open: { input: { tree: StoredTree; path: string }; output: OpenFile };
  read: { input: { tree: StoredTree; inode: number; start: number; length: number }; output: Uint8Array };
  diff: { input: { from: AnyTree; to: AnyTree; path: string; after: string | undefined; limit: number }; output: TreeChanges };
  textDiff: { input: { from: AnyTree; to: AnyTree; path: string }; output: TextDiff };
}
export type FileRequest = keyof FileRequests;

/** Expected problems; anything else that happens in the thread is a fault. */
export type TreeProblemCode =
  | "not_found"
  | "not_directory"
  | "not_regular"
  /** The version holds no file system that can be read, or one request would cost too much. */
  | "not_readable"
  /** Its stored bytes are missing or damaged. */
  | "damaged"
  /** The store or the thread does not answer now. */
  | "unavailable";

export interface TreeProblem {
  problem: TreeProblemCode;
  message: string;
}

export type ToFileThread =
  | { [R in FileRequest]: { kind: "ask"; id: number; request: R; input: FileRequests[R]["input"] } }[FileRequest]
  | { kind: "fetched"; id: number; result: { bytes: Uint8Array } | { failed: "missing" | "unavailable"; message: string } }
  | { kind: "ping"; id: number };

export type FromFileThread =
  | { kind: "answer"; id: number; value: unknown }
  | { kind: "problem"; id: number; problem: TreeProblem }
  | { kind: "fault"; id: number; message: string; stack: string | undefined }
  | { kind: "fetch"; id: number; objectKey: string; range: { start: number; end: number } | undefined }
  | { kind: "pong"; id: number };
