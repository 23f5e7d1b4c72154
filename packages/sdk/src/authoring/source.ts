/** References to files of the project, for `image.copy` (sdk §2.2). Paths are checked when the project is indexed. */
import { brand } from "../brand.ts";

export interface SourceFileRef {
  readonly kind: "file";
  readonly path: string;
}

export interface SourceDirectoryOptions {
  /** Patterns as in a .dockerignore, `!` takes one back. `.git/` is always left out. */
  readonly ignore?: readonly string[];
}

export interface SourceDirRef {
  readonly kind: "directory";
  readonly path: string;
  readonly ignore: readonly string[];
}

export interface SourceCapabilities {
  file(path: string): SourceFileRef;
  directory(path: string, options?: SourceDirectoryOptions): SourceDirRef;
}

export const source: SourceCapabilities = Object.freeze({
  file(path: string): SourceFileRef {
    return Object.freeze(brand("SourceFileRef", { kind: "file" as const, path }));
  },
  directory(path: string, options: SourceDirectoryOptions = {}): SourceDirRef {
    return Object.freeze(brand("SourceDirRef", { kind: "directory" as const, path, ignore: Object.freeze([...(options.ignore ?? [])]) }));
  },
});
