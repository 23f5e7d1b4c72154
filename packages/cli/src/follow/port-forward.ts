/**
 * A local TCP port that is forwarded to a port of a workspace's machine: each connection is a WebSocket of its own. An empty message ends a direction,
 * as the end of a TCP stream does. The forward ends with its signal; a connection that fails ends alone and is told on stderr.
 */
import { createServer, type Server, type Socket } from "node:net";
import { Failure } from "../failure.ts";

export interface PortForward {
  /** What opens a connection to the remote port. */
  remote: () => { url: string; headers: Record<string, string> };
  host: string;
  port: number;
  onRefused: (message: string) => void;
  signal: AbortSignal;
}

const bufferedBytesMax = 1024 * 1024;

/** Resolves with the port that is listened on; `closed` when the signal ends it. */
export async function forwardPort(forward: PortForward): Promise<{ port: number; closed: Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    join(socket, forward);
  });
  await listening(server, forward);
  const closed = new Promise<void>((resolve) => {
    const end = () => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    };
    if (forward.signal.aborted) end();
    else forward.signal.addEventListener("abort", end, { once: true });
  });
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : forward.port, closed };
}

function listening(server: Server, { host, port }: PortForward): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(new Failure(`cannot listen on ${host}:${port}: ${error.message}`)));
    server.listen(port, host, resolve);
  });
}

function join(socket: Socket, { remote, onRefused }: PortForward): void {
  const { url, headers } = remote();
  // Node's WebSocket takes headers in place of protocols.
  const channel = new WebSocket(url, { headers } as unknown as string[]);
  channel.binaryType = "arraybuffer";
  let opened = false;
  const waiting: Uint8Array<ArrayBuffer>[] = [];
  const send = (data: Uint8Array<ArrayBuffer>) => {
    if (!opened) return void waiting.push(data);
    channel.send(data);
    if (channel.bufferedAmount <= bufferedBytesMax) return undefined;
    socket.pause();
    const timer = setInterval(() => {
      if (channel.bufferedAmount > bufferedBytesMax && channel.readyState === WebSocket.OPEN) return;
      clearInterval(timer);
      socket.resume();
    }, 5);
    return undefined;
  };
  socket.on("data", (data: Buffer) => send(Uint8Array.from(data)));
  socket.on("end", () => send(new Uint8Array(0)));
  socket.on("error", () => socket.destroy());
  socket.on("close", () => channel.close());
  channel.addEventListener("open", () => {
    opened = true;
    for (const data of waiting.splice(0)) send(data);
  });
  channel.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
    if (!(data instanceof ArrayBuffer)) return;
    if (data.byteLength === 0) socket.end();
    else socket.write(Buffer.from(data));
  });
  channel.addEventListener("close", () => {
    if (!opened) onRefused("the workspace refused the connection: is it mounted, and does something listen on that port?");
    socket.destroy();
  });
  channel.addEventListener("error", () => undefined);
}
