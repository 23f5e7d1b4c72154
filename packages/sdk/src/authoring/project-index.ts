/**
 * From loaded user modules to the declarations of a project (sdk §5, §7): what `build.start` answers with. The shapes are those of
 * packages/protocol/src/guest/build-result.ts, restated here so that the published declarations stand alone; a type test holds the two
 * together.
 *
 * Expected problems of a project are values with a kind and a sentence; nothing here throws for them.
 */
import { DefinitionError } from "../errors.ts";
import type { DefinitionRegistry, Discovery } from "./definition-registry.ts";
import { type ImageDeclaration, collectImages } from "./image-declaration.ts";
import { type SandboxData, sandboxData } from "./sandbox.ts";
import { type SecretData, secretDeclarations } from "./secrets.ts";
import { type StreamDeclaration, queueDeclarations, streamDeclarations } from "./catalog.ts";
import { type Task, isTask, taskBrand } from "./task.ts";

export interface TaskDeclaration {
  id: string;
  file: string;
  module: string;
  exportName: string;
  sandbox: string;
  maxDurationSeconds?: number;
  queue?: string;
  ttl?: string;
  retry?: unknown;
  secrets: SecretData[];
  schedule?: { cron: string; timezone: string };
  onConflict?: "fail" | "fork";
  onCheckpointLost?: "fail" | "restart";
}

export interface SandboxDeclaration {
  id: string;
  /** Key into `images`; absent: the built-in base image. */
  image?: string;
  workspacePath: string;
  /** As written; the control plane parses and checks them. */
  resources: { cpu?: unknown; memory?: unknown; disk?: unknown };
  network: { internet: boolean; allow?: string[]; deny?: string[] };
}

export interface ProjectIndex {
  tasks: TaskDeclaration[];
  sandboxes: SandboxDeclaration[];
  images: Record<string, ImageDeclaration>;
  queues: { id: string; concurrencyLimit: number | null }[];
  streams: StreamDeclaration[];
}

export interface IndexFailure {
  kind: "task_not_found" | "duplicate_task_id" | "task_parse_failed";
  message: string;
}

export type IndexResult = { ok: true; index: ProjectIndex } | { ok: false; failure: IndexFailure };

/** A user module after its import. */
export interface LoadedModule {
  /** Source file, relative to the project. */
  file: string;
  /** Compiled module, as `run.start` will name it. */
  module: string;
  exports: Readonly<Record<string, unknown>>;
}

export interface IndexInput {
  modules: readonly LoadedModule[];
  discovery: Discovery;
}

/** Ends the declarations of a project early: caught in `indexProject` alone. */
class IndexError extends Error {
  readonly failure: IndexFailure;
  constructor(failure: IndexFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

export function indexProject({ modules, discovery }: IndexInput): IndexResult {
  try {
    return { ok: true, index: buildIndex(modules, discovery.registry) };
  } catch (error) {
    if (error instanceof IndexError) return { ok: false, failure: error.failure };
    if (error instanceof DefinitionError) return { ok: false, failure: { kind: "task_parse_failed", message: error.message } };
    throw error;
  }
}

interface FoundTask {
  task: Task;
  file: string;
  module: string;
  exportName: string;
}

function buildIndex(modules: readonly LoadedModule[], registry: DefinitionRegistry): ProjectIndex {
  const found = findTasks(modules);
  const queues = queueDeclarations(registry);
  const queueIds = new Set(queues.map((queue) => queue.id));
  const collected = collectSandboxes(found);
  return {
    tasks: found.map((entry) => taskDeclaration(entry, queueIds)),
    sandboxes: collected.sandboxes,
    images: collected.images,
    queues,
    streams: streamDeclarations(registry),
  };
}

/** Named exports only. A task that a second module exports again is the same task; two tasks with one id are an error. */
function findTasks(modules: readonly LoadedModule[]): FoundTask[] {
  const byId = new Map<string, FoundTask>();
  for (const { file, module, exports } of modules) {
    for (const [exportName, value] of Object.entries(exports)) {
      if (!isTask(value)) continue;
      if (exportName === "default") {
        throw new IndexError({
          kind: "task_parse_failed",
          message: `${file}: task "${value.id}" is the default export; export it by name, for example export const ${nameFor(value.id)} = task({ ... })`,
        });
      }
      const earlier = byId.get(value.id);
      if (earlier === undefined) byId.set(value.id, { task: value, file, module, exportName });
      else if (earlier.task !== value) {
        throw new IndexError({
          kind: "duplicate_task_id",
          message: `task id "${value.id}" is declared twice: ${earlier.exportName} in ${earlier.file}, and ${exportName} in ${file}`,
        });
      }
    }
  }
  if (byId.size === 0) {
    const where =
      modules.length === 0
        ? "there is no task module in dirs"
        : `none of ${modules.length} modules in dirs has a named export that is the result of task()`;
    throw new IndexError({ kind: "task_not_found", message: `The project declares no task: ${where}` });
  }
  return [...byId.values()];
}

function nameFor(taskId: string): string {
  const name = taskId.replace(/[^A-Za-z0-9]+(.)?/g, (_match, next: string | undefined) => next?.toUpperCase() ?? "");
  return /^[A-Za-z]/.test(name) ? name : `task${name}`;
}

function taskDeclaration({ task, file, module, exportName }: FoundTask, queueIds: ReadonlySet<string>): TaskDeclaration {
  const queue = typeof task.queue === "object" ? task.queue.id : task.queue;
  if (queue !== undefined && !queueIds.has(queue)) {
    throw new IndexError({ kind: "task_parse_failed", message: `task "${task.id}" references undefined queue "${queue}"` });
  }
  const { schedule } = taskBrand(task);
  return {
    id: task.id,
    file,
    module,
    exportName,
    sandbox: task.sandbox.id,
    ...(task.maxDuration === undefined ? {} : { maxDurationSeconds: task.maxDuration }),
    ...(queue === undefined ? {} : { queue }),
    ...(task.ttl === undefined ? {} : { ttl: task.ttl }),
    ...(task.retry === undefined ? {} : { retry: task.retry }),
    secrets: secretDeclarations(task.id, task.secrets),
    ...(schedule === undefined ? {} : { schedule: { ...schedule } }),
    ...(task.onConflict === undefined ? {} : { onConflict: task.onConflict }),
    ...(task.onCheckpointLost === undefined ? {} : { onCheckpointLost: task.onCheckpointLost }),
  };
}

function collectSandboxes(found: readonly FoundTask[]): { sandboxes: SandboxDeclaration[]; images: Record<string, ImageDeclaration> } {
  const images = collectImages();
  const byId = new Map<string, { declaration: SandboxDeclaration; text: string; taskId: string }>();
  for (const { task } of found) {
    const data = sandboxData(task.sandbox) as SandboxData;
    const imageKey = data.image === undefined ? undefined : images.add(data.image, `sandbox "${data.id}"`);
    const declaration = sandboxDeclaration(data, imageKey);
    const text = JSON.stringify(declaration);
    const earlier = byId.get(data.id);
    if (earlier === undefined) byId.set(data.id, { declaration, text, taskId: task.id });
    else if (earlier.text !== text) {
      throw new IndexError({
        kind: "task_parse_failed",
        message: `conflicting definitions of sandbox "${data.id}" in tasks "${earlier.taskId}" and "${task.id}"`,
      });
    }
  }
  return { sandboxes: [...byId.values()].map((entry) => entry.declaration), images: images.declarations() };
}

/** Members in a fixed order: equal definitions give equal text. */
function sandboxDeclaration(data: SandboxData, image: string | undefined): SandboxDeclaration {
  const { cpu, memory, disk } = data.resources;
  const { internet, allow, deny } = data.network;
  return {
    id: data.id,
    ...(image === undefined ? {} : { image }),
    workspacePath: data.workspacePath,
    resources: {
      ...(cpu === undefined ? {} : { cpu }),
      ...(memory === undefined ? {} : { memory }),
      ...(disk === undefined ? {} : { disk }),
    },
    network: { internet, ...(allow === undefined ? {} : { allow: [...allow] }), ...(deny === undefined ? {} : { deny: [...deny] }) },
  };
}
