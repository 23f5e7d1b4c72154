/**
 * What indexing a project yields (sdk §5, §7): the answer to `build.start`. It comes out of a guest that ran the user's module code, so
 * the control plane validates it with this schema and checks every cross reference again.
 */
import * as z from "zod";
import { namePattern } from "../shared/names.ts";

const path = z.string().min(1).max(4096);

export const imageStep = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("from"), ref: z.string().min(1).max(1024) }),
  z.object({
    kind: z.literal("run"),
    argv: z.array(z.string().max(131_072)).min(1).max(4096),
    caches: z.array(z.object({ mountPath: path, id: z.string().min(1).max(256) })).max(16),
    secrets: z.array(z.object({ mountPath: path, secret: z.string().regex(namePattern.secret) })).max(16),
  }),
  z.object({
    kind: z.literal("copy"),
    destination: path,
    source: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("file"), path }),
      z.object({
        kind: z.literal("directory"),
        path,
        ignore: z.array(z.string().max(4096)).max(1000),
      }),
    ]),
  }),
  z.object({
    kind: z.literal("copyFrom"),
    destination: path,
    image: z.string().min(1).max(256),
    source: path,
  }),
  z.object({ kind: z.literal("workdir"), path }),
  z.object({
    kind: z.literal("env"),
    key: z.string().min(1).max(1024),
    value: z.string().max(131_072),
  }),
  z.object({ kind: z.literal("user"), name: z.string().min(1).max(256) }),
]);
export type ImageStep = z.output<typeof imageStep>;

export const imageDeclaration = z.object({
  id: z.string().min(1).max(256),
  steps: z.array(imageStep).max(1000),
});
export type ImageDeclaration = z.output<typeof imageDeclaration>;

export const secretDeclaration = z.object({
  name: z.string().regex(namePattern.secret),
  env: z.string().regex(namePattern.environmentVariable).optional(),
  file: path.optional(),
  dir: path.optional(),
  mode: z
    .string()
    .regex(/^(0o)?[0-7]{1,4}$/)
    .optional(),
  owner: z.string().min(1).max(256).optional(),
});
export type SecretDeclaration = z.output<typeof secretDeclaration>;

export const sandboxDeclaration = z.object({
  id: z.string().min(1).max(256),
  /** Key into `images`; absent: the built-in base image. */
  image: z.string().max(256).optional(),
  workspacePath: path,
  /** As written by the author; the control plane parses and checks them (http §9.4). */
  resources: z.object({
    cpu: z.unknown().optional(),
    memory: z.unknown().optional(),
    disk: z.unknown().optional(),
  }),
  network: z.object({
    internet: z.boolean(),
    allow: z.array(z.string().max(1024)).max(1000).optional(),
    deny: z.array(z.string().max(1024)).max(1000).optional(),
  }),
});

export const taskDeclaration = z.object({
  id: z.string().regex(namePattern.task),
  file: path,
  module: path,
  exportName: z.string().min(1).max(1024),
  sandbox: z.string().min(1).max(256),
  maxDurationSeconds: z.number().int().min(5).max(86_400).optional(),
  queue: z.string().regex(namePattern.queue).optional(),
  ttl: z.string().max(64).optional(),
  retry: z.unknown().optional(),
  secrets: z.array(secretDeclaration).max(256),
  schedule: z.object({ cron: z.string().max(256), timezone: z.string().max(128) }).optional(),
  onConflict: z.enum(["fail", "fork"]).optional(),
  onCheckpointLost: z.enum(["fail", "restart"]).optional(),
});

export const projectIndex = z.object({
  tasks: z.array(taskDeclaration).min(1).max(1000),
  sandboxes: z.array(sandboxDeclaration).max(1000),
  images: z.record(z.string(), imageDeclaration),
  queues: z
    .array(
      z.object({
        id: z.string().regex(namePattern.queue),
        concurrencyLimit: z.number().int().positive().nullable(),
      }),
    )
    .max(1000),
  streams: z
    .array(
      z.object({
        direction: z.enum(["input", "output"]),
        name: z.string().regex(namePattern.stream),
        fingerprint: z.string().max(128),
      }),
    )
    .max(1000),
});
export type ProjectIndex = z.output<typeof projectIndex>;

/** Why a build failed, as the guest saw it; `message` names file, line and column where there is one. */
export const buildFailure = z.object({
  kind: z.enum([
    "bad_request",
    "task_not_found",
    "duplicate_task_id",
    "missing_config",
    "task_parse_failed",
    "dependencies_failed",
    "image_failed",
    "timeout",
    "out_of_memory",
  ]),
  message: z.string().max(65_536),
});
export type BuildFailure = z.output<typeof buildFailure>;

export const buildResult = z.discriminatedUnion("status", [
  z.object({
    status: z.literal("built"),
    index: projectIndex,
    dependencies: z.enum(["none", "installed", "image"]),
  }),
  /** Asked for with `only`. */
  z.object({ status: z.literal("installed") }),
  z.object({ status: z.literal("failed"), failure: buildFailure }),
]);
export type BuildResult = z.output<typeof buildResult>;
