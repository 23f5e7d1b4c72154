/**
 * The control plane's push to this worker: directives and "drain", at once; and the live path (mount/live-desk.ts) in both directions. Of directives it
 * only shortens the way: everything it says comes with the next renewal too, so a broken channel costs latency. Reconnects with jitter for as long as the process lives; silence longer than `silenceMs`
 * counts as broken.
 */
import { type ChannelMessage, channelMessage, channelPath } from "@helmr/protocol/worker";
import { jitter, pause } from "../host/pause.ts";
import type { WorkerClient } from "./client.ts";

export interface ChannelOptions {
  client: WorkerClient;
  onMessage: (message: ChannelMessage) => void;
  onBytes: (frame: Uint8Array) => void;
  /** Connected (again): something may have been missed. */
  onOpen: () => void;
  onClose: () => void;
}

const timing = { firstMs: 200, maxMs: 5_000, silenceMs: 60_000, openMs: 10_000 } as const;

export class Channel {
  private readonly options: ChannelOptions;
  private socket: WebSocket | undefined;
  private readonly stopping = new AbortController();

  constructor(options: ChannelOptions) {
    this.options = options;
  }

  /** Keeps the channel open until `stop`. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.stopping;
    let failures = 0;
    while (!signal.aborted) {
      const opened = await this.connection();
      failures = opened ? 0 : failures + 1;
      await pause(jitter(failures, timing), signal);
    }
  }

  stop(): void {
    this.stopping.abort();
  }

  /** Nothing is sent while there is no connection: whoever needs an answer says it again. */
  send(data: string | Uint8Array): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(data as string | Uint8Array<ArrayBuffer>);
  }

  /** One connection, from opening to its end; whether it was ever open. */
  private connection(): Promise<boolean> {
    const { url, headers } = this.options.client.channel(channelPath);
    return new Promise((resolve) => {
      let open = false;
      // Node's WebSocket takes headers in place of protocols.
      const socket = new WebSocket(url, { headers } as unknown as string[]);
      socket.binaryType = "arraybuffer";
      const quiet = () => socket.close();
      let silence = setTimeout(quiet, timing.openMs);
      const heard = () => {
        clearTimeout(silence);
        silence = setTimeout(quiet, timing.silenceMs);
      };
      const stop = () => socket.close();
      this.stopping.signal.addEventListener("abort", stop, { once: true });
      const ended = () => {
        clearTimeout(silence);
        this.stopping.signal.removeEventListener("abort", stop);
        if (this.socket === socket) {
          this.socket = undefined;
          this.options.onClose();
        }
        resolve(open);
      };
      socket.addEventListener("open", () => {
        open = true;
        this.socket = socket;
        heard();
        this.options.onOpen();
      });
      socket.addEventListener("message", (event) => {
        heard();
        this.receive(event.data);
      });
      socket.addEventListener("close", ended);
      socket.addEventListener("error", ended);
    });
  }

  private receive(data: unknown): void {
    if (data instanceof ArrayBuffer) return this.options.onBytes(new Uint8Array(data));
    const parsed = typeof data === "string" ? channelMessage.safeParse(tryJson(data)) : undefined;
    // What a newer control plane says beyond this is not for this worker.
    if (parsed?.success === true) this.options.onMessage(parsed.data);
  }
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
