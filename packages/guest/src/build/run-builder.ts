/** Starts the builder (builder.ts) and listens to it: it is the tenant's process, so each frame is limited and its answer only looked at from outside. */
import { encodeMessage, FrameDecoder, FrameError, type BuildFailure, type ProjectIndex } from "@helmr/protocol/guest";
import type { BuildGround } from "../supervisor/supervisor.ts";
import { buildLimits } from "./build-limits.ts";
import { type BuilderStart, type FromBuilder, ProjectError } from "./builder-pipe.ts";
import type { TailOutput } from "./tail-output.ts";
import { startStep } from "./tenant-step.ts";

export interface BuilderOptions {
  /** As the tenant sees it. */
  script: string;
  start: BuilderStart;
  output: TailOutput;
  limitMs: number;
}

interface Heard {
  loading: string | undefined;
  answer: Extract<FromBuilder, { type: "built" | "failed" }> | undefined;
  broken: string | undefined;
}

/** The index of the project; what it found wrong is a ProjectError. */
export async function runBuilder(ground: BuildGround, options: BuilderOptions): Promise<ProjectIndex> {
  const step = startStep(ground, {
    command: ["node", options.script],
    cwd: options.start.source,
    environment: { HELMR_COMPILER: ground.attachment.places.compiler },
    network: false,
    pipes: true,
    output: options.output,
    limitMs: options.limitMs,
  });
  const heard: Heard = { loading: undefined, answer: undefined, broken: undefined };
  const deadlineAt = performance.now() + options.limitMs;
  const { process } = step;
  const listening = listen(process.pipeOut, (message) => {
    if (message.type === "phase") ground.phase(message.phase, message.message);
    else if (message.type === "loading") {
      if (heard.loading === undefined) step.deadline.extend(Math.min(buildLimits.loadMs, Math.max(0, deadlineAt - performance.now())));
      heard.loading = message.file;
    } else heard.answer ??= message;
  }).catch((error: unknown) => {
    heard.broken = (error as Error).message;
    process.kill();
  });
  process.pipeIn?.write(encodeMessage(options.start));
  const end = await step.ended;
  process.pipeOut?.destroy();
  await listening;
  const at = heard.loading === undefined ? "The project" : heard.loading;
  if (heard.broken !== undefined) throw new ProjectError("task_parse_failed", `${at} broke the pipe of the build: ${heard.broken}`);
  if (end.timedOut)
    throw new ProjectError(
      "timeout",
      heard.loading === undefined
        ? "The build ran out of time while the project was compiled"
        : `${at} was not loaded within ${buildLimits.loadMs / 1000} s: module code must not wait or run for long`,
    );
  if (end.outOfMemory && heard.answer === undefined) throw new ProjectError("out_of_memory", `${at}: the build ran out of memory`);
  if (heard.answer?.type === "built") return heard.answer.index;
  throw new ProjectError(...failureOf(heard.answer?.failure, { at, end: end.exit }));
}

interface Ending {
  at: string;
  end: Awaited<ReturnType<typeof startStep>["ended"]>["exit"];
}

function failureOf(failure: BuildFailure | undefined, { at, end }: Ending): [BuildFailure["kind"], string] {
  if (failure !== undefined) return [failure.kind, failure.message];
  if (end.kind === "not_started")
    return [
      "task_parse_failed",
      `The project cannot be loaded in this image: ${end.text}. Use an image with Node.js 20 or newer on its PATH`,
    ];
  return ["task_parse_failed", `${at} ended the process while it was loaded (${end.signal ?? `exit code ${end.code}`})`];
}

async function listen(pipe: AsyncIterable<Buffer> | undefined, take: (message: FromBuilder) => void): Promise<void> {
  const decoder = new FrameDecoder();
  try {
    for await (const chunk of pipe ?? []) {
      for (const frame of decoder.push(chunk)) {
        const message = frame.kind === "message" ? checked(frame.message) : undefined;
        if (message === undefined) throw new FrameError("a message of unknown form");
        take(message);
      }
    }
  } catch (error) {
    // Destroyed after the builder's end.
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
}

const phases = ["configuring", "compiling", "indexing"];
const failureKinds = ["bad_request", "task_not_found", "duplicate_task_id", "missing_config", "task_parse_failed"];

/** The index itself is validated by the worker and the control plane. */
function checked(value: unknown): FromBuilder | undefined {
  if (!isObject(value)) return undefined;
  const { type, phase, message, file, index, failure } = value;
  if (type === "phase" && phases.includes(phase as string) && isText(message, 4096)) return value as FromBuilder;
  if (type === "loading" && isText(file, 4096)) return { type, file };
  if (type === "built" && isObject(index)) return { type, index: index as unknown as ProjectIndex };
  if (type === "failed" && isObject(failure) && failureKinds.includes(failure["kind"] as string) && isText(failure["message"], 65_536)) {
    return { type, failure: { kind: failure["kind"] as BuildFailure["kind"], message: failure["message"] } };
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown, charactersMax: number): value is string {
  return typeof value === "string" && value.length <= charactersMax;
}
