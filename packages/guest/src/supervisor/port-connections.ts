/** TCP connections to ports of the guest's loopback: preview URLs and port forwards. Each is two byte streams; ending one half ends that half. */
import { connect, type Socket } from "node:net";
import { type HostLink, RequestError } from "./host-link.ts";
import type { IncomingStream } from "./incoming-stream.ts";
import { guestLimits } from "./limits.ts";

export interface PortRequest {
  port: number;
  input: number;
  output: number;
}

/** A server may listen on one of the two only. */
const loopbacks = ["127.0.0.1", "::1"];

export class PortConnections {
  private readonly link: HostLink;
  private readonly open = new Set<Socket>();

  constructor(link: HostLink) {
    this.link = link;
  }

  async connect(request: PortRequest): Promise<void> {
    const input = this.link.takeIncoming(request.input);
    if (input === undefined) throw new RequestError("bad_request", `Stream ${request.input} is not open`);
    if (this.open.size >= guestLimits.connectionsMax) {
      input.discard();
      throw new RequestError("limit", `${guestLimits.connectionsMax} connections are open already`, { retryable: true });
    }
    let problem = "";
    for (const host of loopbacks) {
      const socket = await dial(host, request.port);
      if (socket instanceof Error) problem = (socket as NodeJS.ErrnoException).code ?? socket.message;
      else return this.join(socket, input, request.output);
    }
    input.discard();
    throw new RequestError("port_refused", `Nothing answers on port ${request.port} of the machine's loopback (${problem})`);
  }

  closeAll(): void {
    for (const socket of this.open) socket.destroy();
  }

  private join(socket: Socket, input: IncomingStream, outputId: number): void {
    const output = this.link.openOutgoing(outputId);
    this.open.add(socket);
    socket.on("data", (chunk: Buffer) => {
      output.write(chunk);
      if (output.isStopped) socket.destroy();
      else if (!output.hasRoom) {
        socket.pause();
        output.onRoom(() => socket.resume());
      }
    });
    socket.on("end", () => output.end());
    socket.on("error", (error) => output.end(error.message));
    socket.on("close", () => {
      this.open.delete(socket);
      output.end();
      input.discard();
    });
    input.attach({
      write: (chunk, done) => void socket.write(chunk, () => done()),
      end: (error) => void (error === undefined ? socket.end() : socket.destroy()),
    });
  }
}

function dial(host: string, port: number): Promise<Socket | Error> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(() => socket.destroy(new RequestError("port_refused", "timed out")), guestLimits.connectMs);
    const failed = (error: Error) => {
      clearTimeout(timer);
      resolve(error);
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      resolve(socket);
    });
  });
}
