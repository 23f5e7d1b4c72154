/**
 * `@helmr/sdk/runtime`: what the guest's program and the build indexer need, and nothing that a task author imports.
 *
 * Program (runs a task):
 *   1. import the compiled module of `run.start`; `findTask({ exports, exportName, taskId })` gives the task or a `task_not_found`
 *   2. `executeTask({ task, payload, runtime })` installs the runtime, checks the payload, builds the context, calls `run` and tells
 *      how that ended, the output as JSON text; it never rejects
 *
 * Build (indexes a project):
 *   1. `const discovery = startDiscovery()` before any user module is loaded
 *   2. import helmr.config.ts, `readConfig(module.default)`; find and import the task modules (sdk §5)
 *   3. `indexProject({ modules, discovery })` gives the declarations of packages/protocol/src/guest/build-result.ts, or a failure
 *      with its kind; `discovery.stop()`
 */
export { type ConfigReading, type HelmrConfig, readConfig } from "./authoring/config.ts";
export {
  type DefinitionRegistry,
  type Discovery,
  type QueueEntry,
  type StreamEntry,
  startDiscovery,
} from "./authoring/definition-registry.ts";
export {
  type IndexFailure,
  type IndexInput,
  type IndexResult,
  type LoadedModule,
  type ProjectIndex,
  type SandboxDeclaration,
  type TaskDeclaration,
  indexProject,
} from "./authoring/project-index.ts";
export type { ImageDeclaration, ImageStep } from "./authoring/image-declaration.ts";
export type { StreamDeclaration } from "./authoring/catalog.ts";
export type { SecretData } from "./authoring/secrets.ts";
export { type TaskLookup, findTask, taskNotFoundText } from "./authoring/task-lookup.ts";
export { type Task, isTask } from "./authoring/task.ts";
export { type TaskEnd, type TaskExecution, executeTask } from "./running/execute-task.ts";
export * from "./running/port.ts";
