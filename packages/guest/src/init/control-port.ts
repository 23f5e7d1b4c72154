/**
 * The supervisor's side of the control port (a virtio-serial port, later vsock): a duplex stream per connection of the host. Only this
 * folder knows what kind of device it is.
 *
 *   waiting ── the host is connected ──▶ connected ── it went away ──▶ waiting
 *
 * Each connection begins with `channelPreamble` (protocol/guest/frames.ts), written here. A restore from a snapshot is not a new connection:
 * neither side of the device notices, and the stream goes on.
 *
 * The device is read through libuv's pipe, which waits in epoll: 1 ms round trips and no thread per port, where fs.read would hold one of the
 * four threads of the pool for good. Node has no public way to make such a stream of a character device, hence `process.binding`.
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { channelPreamble } from "@helmr/protocol/guest";

export interface ControlPort {
  close(): void;
}

/** While the host is away; it comes back within a second or two. */
const waitingPollMs = 50;

interface PipeHandle {
  open(fd: number): number;
}
interface PipeBinding {
  Pipe: new (type: number) => PipeHandle;
  constants: { SOCKET: number };
}

/** `connected` is called for every connection; the stream ends when the host goes away. */
export function openControlPort(device: string, connected: (stream: Duplex) => void): ControlPort {
  let closed = false;
  let stream: Duplex | undefined;
  let timer: NodeJS.Timeout | undefined;

  const wait = (): void => {
    if (closed) return;
    const fd = openSync(device, constants.O_RDWR | constants.O_NONBLOCK);
    const state = peek(fd);
    if (state.kind === "absent") {
      closeSync(fd);
      timer = setTimeout(wait, waitingPollMs);
      return;
    }
    const socket = pipeStream(fd);
    stream = socket;
    socket.on("error", () => socket.destroy());
    socket.on("close", wait);
    socket.write(channelPreamble);
    if (state.bytes.length > 0) socket.unshift(state.bytes);
    connected(socket);
  };

  wait();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      stream?.destroy();
    },
  };
}

type PortState = { kind: "absent" } | { kind: "connected"; bytes: Buffer };

/** Reading is the only question the device answers: end of file without a host, EAGAIN with one that has said nothing. */
function peek(fd: number): PortState {
  const bytes = Buffer.alloc(65_536);
  try {
    const length = readSync(fd, bytes, 0, bytes.length, null);
    return length === 0 ? { kind: "absent" } : { kind: "connected", bytes: bytes.subarray(0, length) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return { kind: "connected", bytes: Buffer.alloc(0) };
    closeSync(fd);
    throw error;
  }
}

function pipeStream(fd: number): Duplex {
  const { Pipe, constants: types } = (process as unknown as { binding(name: "pipe_wrap"): PipeBinding }).binding("pipe_wrap");
  const handle = new Pipe(types.SOCKET);
  handle.open(fd);
  // The host's end of file ends both directions: what is written to a port without a host is lost.
  return new Socket({ handle, allowHalfOpen: false } as object);
}
