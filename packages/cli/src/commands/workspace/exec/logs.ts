import { argument, cursor, environmentCommand, toggle } from "../../../command.ts";
import { type ByteReader, drainBytes, followBytes } from "../../../follow/byte-stream.ts";
import { execStream } from "../../../follow/exec-stream.ts";
import { exampleExec, exampleWorkspace } from "../lines.ts";

export const workspaceExecLogs = environmentCommand({
  name: "workspace exec logs",
  summary: "print what an exec wrote",
  details: "The bytes as they were written, stdout to stdout and stderr to stderr.",
  examples: [
    { says: "what was printed so far, and what comes", command: `helmr workspace exec logs ${exampleWorkspace} ${exampleExec} --follow` },
  ],
  args: { workspace: argument("WORKSPACE", "id of the workspace"), exec: argument("EXEC", "id of the exec") },
  flags: { cursor: cursor("only bytes behind this offset, of both streams"), follow: toggle("go on until the command has ended") },
  async run(context) {
    const { args, flags } = context;
    const address = { api: await context.environment(), workspaceId: args.workspace, execId: args.exec };
    const printed = async (name: "stdout" | "stderr") => {
      const stream = execStream(address, name);
      const output = name === "stdout" ? context.out : context.err;
      const reader: ByteReader = { cursor: flags.cursor ?? 0, take: (bytes) => output.write(bytes) };
      await (flags.follow ? followBytes(reader, { connect: stream.connect, signal: context.signal }) : drainBytes(reader, stream.page));
    };
    await Promise.all([printed("stdout"), printed("stderr")]);
  },
});
