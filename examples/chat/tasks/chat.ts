import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type PayloadSchema, logger, sandbox, streams, task } from "@helmr/sdk";

interface Message {
  text: string;
}

const messageSchema: PayloadSchema<Message> = {
  "~standard": {
    version: 1,
    vendor: "examples",
    validate(value) {
      const text = (value as Message | null)?.text;
      return typeof text === "string" ? { value: { text } } : { issues: [{ message: "must be a text", path: ["text"] }] };
    },
  },
};

export const messages = streams.input("messages", { schema: messageSchema });
export const replies = streams.output("replies");

interface Conversation {
  /** Sequence of the last message that was answered. */
  answered: number;
  words: number;
}

/**
 * A conversation over many runs: each message that nobody waits for starts the next run of the session, on the same workspace. A run is a
 * new process, so what must be remembered, the last answered message above all, is in a file.
 */
export const chat = task({
  id: "chat",
  sandbox: sandbox("chat"),
  async run(ctx) {
    const path = join(ctx.workspace.path, "conversation.json");
    const conversation = await readConversation(path);
    let answeredNow = 0;
    for (;;) {
      const message = await messages.peek({ afterSequence: conversation.answered });
      if (message === null) break;
      const words = message.data.text.split(/\s+/).filter((word) => word !== "").length;
      conversation.words += words;
      await replies.append({ to: message.sequence, text: `That was ${words} words; ${conversation.words} so far.` });
      // Noted only now: a run that dies in between answers again rather than never.
      conversation.answered = message.sequence;
      await writeFile(path, JSON.stringify(conversation));
      answeredNow += 1;
    }
    logger.info(`answered ${answeredNow} messages`, { ...conversation });
    return { answeredNow, ...conversation };
  },
});

async function readConversation(path: string): Promise<Conversation> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Conversation;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { answered: 0, words: 0 };
    throw error;
  }
}
