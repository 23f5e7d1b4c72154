/** The text messages of a terminal's WebSocket; binary ones are bytes of the terminal itself. */
export type TerminalMessage =
  | { type: "ready"; output_cursor: number; input_cursor: number }
  | { type: "end"; state: string; exit_code?: number }
  | { type: "error"; message: string };

/** What a later server says and this page does not know is passed over. */
export function parseTerminalMessage(text: string): TerminalMessage | undefined {
  try {
    const message = JSON.parse(text) as TerminalMessage;
    return ["ready", "end", "error"].includes(message.type) ? message : undefined;
  } catch {
    return undefined;
  }
}

export function endText({ state, exit_code: code }: { state: string; exit_code?: number }): string {
  if (code !== undefined) return `The shell ended with exit code ${code}.`;
  return state === "lost" ? "The machine was lost, and the terminal with it." : `The terminal is ${state}.`;
}
