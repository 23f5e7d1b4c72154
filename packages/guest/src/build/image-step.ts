/**
 * One step of an image build (protocol/guest/image-step.ts): the trusted half, loaded by the supervisor. The image's disk is the root here, so what
 * the step leaves is the image; what this machine needed in it is taken away at the end, and the disk is trimmed and frozen for the host.
 */
import { lchownSync, statSync } from "node:fs";
import type { ImageStepRequest, ImageStepResult } from "@helmr/protocol/guest";
import { PathError } from "../supervisor/confined-tree.ts";
import { drain, writeContent } from "../supervisor/file-contents.ts";
import { GuestToolError } from "../supervisor/guest-tool.ts";
import { RequestError } from "../supervisor/host-link.ts";
import { PlacedSecrets } from "../supervisor/secrets.ts";
import type { StepGround } from "../supervisor/supervisor.ts";
import { TarExtractor } from "../tar/extract.ts";
import { TarError } from "../tar/headers.ts";
import { imageDependencies } from "./image-dependencies.ts";
import { TailOutput } from "./tail-output.ts";
import { startStep } from "./tenant-step.ts";

type Step<Kind extends ImageStepRequest["step"]["kind"]> = Extract<ImageStepRequest["step"], { kind: Kind }>;
type Failed = Extract<ImageStepResult, { status: "failed" }>;

const done: ImageStepResult = { status: "done" };
const root = { uid: 0, gid: 0 };
const checkMs = 30_000;
const entriesMax = 100_000;
const bytesMax = 4 * 1024 * 1024 * 1024;

export async function imageStep(request: ImageStepRequest, ground: StepGround): Promise<ImageStepResult> {
  const { step } = request;
  const output = new TailOutput(ground.log);
  if (step.kind === "check") return check(ground, { output, limitMs: request.timeoutMs });
  const result = await perform(step, ground, { output, limitMs: request.timeoutMs });
  // The machine is killed behind the answer; what a failed step has fetched is of use to the next one.
  const caches = ground.attachment.cacheDirectories;
  if (caches.length > 0) await ground.tool.sync(caches);
  if (result.status === "failed") return ground.attachment.diskFull ? diskFull(result) : result;
  const node = await check(ground, { output: silentOutput(), limitMs: checkMs });
  await ground.tool.leaveRoot();
  await ground.tool.trim(ground.attachment.fileSystems);
  await ground.tool.freeze(ground.attachment.fileSystems);
  return node.status === "done" ? { ...result, ...node } : result;
}

/** What is looked for behind a step is not part of its log. */
function silentOutput(): TailOutput {
  return new TailOutput({ write: () => {}, hasRoom: true, onRoom: (callback: () => void) => callback() } as unknown as StepGround["log"]);
}

interface StepOptions {
  output: TailOutput;
  limitMs: number;
}

async function perform(
  step: Exclude<ImageStepRequest["step"], { kind: "check" }>,
  ground: StepGround,
  options: StepOptions,
): Promise<ImageStepResult> {
  try {
    if (step.kind === "run") return await run(step, ground, options);
    if (step.kind === "dependencies") return await imageDependencies(step, ground, options);
    if (step.kind === "copyFrom") await ground.tool.copy(step.source, step.destination);
    else if (step.file === undefined) await copyDirectory(step, ground);
    else await copyFile(step, ground, step.file);
    return done;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const expected = [GuestToolError, PathError, TarError, RequestError].some((kind) => error instanceof kind) || code !== undefined;
    if (!expected) throw error;
    return { status: "failed", reason: "copy_failed", exitCode: null, message: (error as Error).message };
  } finally {
    ground.source?.discard();
  }
}

async function run(step: Step<"run">, ground: StepGround, options: StepOptions): Promise<ImageStepResult> {
  const { attachment, tool } = ground;
  const cwd = attachment.imageDirectory;
  // As engines do: the working directory of a step is there.
  attachment.root.locate(`${cwd}/x`, { makeParents: 0o755 }).close();
  const secrets = new PlacedSecrets({ tool, root: attachment.root, accounts: attachment.accounts(), user: "root", workspacePath: cwd });
  const placements = step.secrets.map(({ path, value }) => ({ name: path, file: path, mode: "0400", owner: "root", value }));
  try {
    const placed = await secrets.place(placements);
    if (!placed.ok) return { status: "failed", reason: "not_started", exitCode: null, message: placed.problem };
    const { ended } = startStep(ground, {
      command: step.argv,
      cwd,
      environment: {},
      network: true,
      pipes: false,
      output: options.output,
      limitMs: options.limitMs,
    });
    return outcomeOf(await ended, options);
  } finally {
    await secrets.remove();
  }
}

function outcomeOf({ exit, timedOut, outOfMemory }: Awaited<ReturnType<typeof startStep>["ended"]>, options: StepOptions): ImageStepResult {
  const failed = (reason: Failed["reason"], message: string, exitCode: number | null = null): ImageStepResult => ({
    status: "failed",
    reason,
    exitCode,
    message,
  });
  if (timedOut) return failed("timeout", `The command ran longer than ${Math.round(options.limitMs / 1000)} s`);
  if (exit.kind === "not_started") return failed("not_started", exit.text);
  if (exit.code === 0) return done;
  if (outOfMemory) return failed("out_of_memory", "The command ran out of memory", exit.code);
  return failed("exited", `The command ended with ${exit.signal ?? `code ${exit.code}`}:\n${options.output.tail}`, exit.code);
}

function diskFull(result: Failed): Failed {
  return { ...result, reason: "disk_full", message: `The image's disk is full. ${result.message}`.slice(0, 60_000) };
}

async function copyDirectory(step: Step<"copy">, { attachment, source }: StepGround): Promise<void> {
  if (source === undefined) throw new RequestError("bad_request", `Stream ${step.stream} is not open`);
  const target = step.destination;
  attachment.root.locate(`${target}/x`, { makeParents: 0o755 }).close();
  const extractor = new TarExtractor({ tree: attachment.root, target, owner: root, entriesMax, bytesMax, modifiedSeconds: 0 });
  try {
    await drain(source, (chunk) => extractor.push(chunk));
    extractor.finish();
  } finally {
    extractor.abort();
  }
}

/** Into a directory that is there, or that the destination's slash asks for; else under the name of the destination. */
async function copyFile(step: Step<"copy">, { attachment, source }: StepGround, file: { name: string; mode: number }): Promise<void> {
  if (source === undefined) throw new RequestError("bad_request", `Stream ${step.stream} is not open`);
  const into = step.destination.endsWith("/") || isDirectory(attachment.root, step.destination);
  const path = into ? `${step.destination}/${file.name}` : step.destination;
  attachment.root.locate(path, { makeParents: 0o755 }).close();
  await writeContent(attachment.root, { kind: "write", path, mode: file.mode, stream: step.stream }, { stream: source, owner: root });
  const place = attachment.root.locate(path, { followLast: true });
  lchownSync(place.path, 0, 0);
  place.close();
}

function isDirectory(tree: StepGround["attachment"]["root"], path: string): boolean {
  try {
    const place = tree.locate(path, { followLast: true });
    try {
      return statSync(place.path, { throwIfNoEntry: false })?.isDirectory() === true;
    } finally {
      place.close();
    }
  } catch (error) {
    if (error instanceof PathError) return false;
    throw error;
  }
}

/** Any libc: the image's own `node` is run. */
async function check(ground: StepGround, options: StepOptions): Promise<ImageStepResult> {
  const { exit } = await startStep(ground, {
    command: ["node", "--version"],
    cwd: "/",
    environment: {},
    network: false,
    pipes: false,
    output: options.output,
    limitMs: options.limitMs,
  }).ended;
  const version = /^v(\d+\.\d+\.\d+)/m.exec(options.output.tail)?.[1];
  if (exit.kind === "exited" && exit.code === 0 && version !== undefined) return { status: "done", nodeVersion: version };
  const message =
    exit.kind === "not_started" ? exit.text : `node --version ended with ${exit.signal ?? `code ${exit.code}`}: ${options.output.tail}`;
  return { status: "failed", reason: "node_missing", exitCode: exit.kind === "exited" ? exit.code : null, message };
}
