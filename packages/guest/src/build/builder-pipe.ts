/**
 * The pipe between the supervisor's half of a build (build/main.ts, trusted) and the builder, a process of the tenant that compiles and loads
 * the project (build/builder.ts). Framing as for the program: descriptor 3 to the builder, 4 from it; what it says is checked.
 */
import type { BuildFailure, ProjectIndex } from "@helmr/protocol/guest";

export interface BuilderStart {
  type: "start";
  /** Absolute, as the builder sees them. */
  source: string;
  compiled: string;
  /** For what is needed while building only. */
  work: string;
  /** Directory of the SDK's modules. */
  sdk: string;
}

export type FromBuilder =
  | { type: "phase"; phase: "configuring" | "compiling" | "indexing"; message: string }
  /** The project's code is being run: this module. */
  | { type: "loading"; file: string }
  | { type: "built"; index: ProjectIndex }
  | { type: "failed"; failure: BuildFailure };

/** A failure of the project itself, raised anywhere in the builder and told once. */
export class ProjectError extends Error {
  override name = "ProjectError";
  readonly failure: BuildFailure;
  constructor(kind: BuildFailure["kind"], message: string) {
    super(message);
    this.failure = { kind, message: message.slice(0, 60_000) };
  }
}
