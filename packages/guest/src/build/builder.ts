/**
 * The untrusted half of a build: a process of the tenant, in the image's Node, without network. It compiles the project and loads its modules,
 * so everything of the project that can crash, hang or lie does it here. build/main.ts gives it time and believes only well-formed answers.
 */
import { forgetCompiler } from "./compiler-path.ts";
import { readSync, writeSync } from "node:fs";
import { encodeMessage, FrameDecoder, FrameError } from "@helmr/protocol/guest";
import { blockingOutput } from "../program/standard-streams.ts";
import { inputFd, outputFd } from "../program/pipe.ts";
import { type BuilderStart, type FromBuilder, ProjectError } from "./builder-pipe.ts";
import { loadProject } from "./load-project.ts";

function say(message: FromBuilder): void {
  const frame = encodeMessage(message);
  for (let at = 0; at < frame.length;) at += writeSync(outputFd, frame, at);
}

function readStart(): BuilderStart | undefined {
  const decoder = new FrameDecoder();
  const buffer = Buffer.allocUnsafe(65_536);
  for (;;) {
    const count = readSync(inputFd, buffer, 0, buffer.length, null);
    if (count === 0) return undefined;
    const [frame] = decoder.push(Buffer.from(buffer.subarray(0, count)));
    if (frame?.kind === "message") return frame.message as BuilderStart;
  }
}

function failure(error: unknown): FromBuilder {
  if (error instanceof ProjectError) return { type: "failed", failure: error.failure };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { type: "failed", failure: { kind: "task_parse_failed", message: message.slice(0, 60_000) } };
}

async function main(start: BuilderStart): Promise<void> {
  forgetCompiler();
  blockingOutput();
  process.setSourceMapsEnabled(true);
  let loading = "The project";
  const follow = (message: FromBuilder) => {
    if (message.type === "loading") loading = message.file;
    say(message);
  };
  process.once("beforeExit", () => {
    say(failure(new ProjectError("task_parse_failed", `${loading} waits at its top level for something that never happens`)));
    process.exit(0);
  });
  let answer: FromBuilder;
  try {
    answer = { type: "built", index: await loadProject(start, follow) };
  } catch (error) {
    answer = failure(error);
  }
  try {
    say(answer);
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    say(failure(new ProjectError("task_parse_failed", `The declarations of the project are too large: ${error.message}`)));
  }
  // Modules may have left timers and servers behind.
  process.exit(0);
}

const start = readStart();
if (start === undefined) process.exit(1);
void main(start);
