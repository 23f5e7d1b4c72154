/**
 * Sockets of one machine. The worker listens and the monitor connects (and connects again every second when the worker was restarted), so
 * nothing races at the start and nothing of a machine depends on a worker process.
 *
 * The monitor's working directory is the machine's directory and it names its sockets relative to it; the worker names them through a
 * descriptor of the directory. So neither the length of the path (108 bytes for a socket) nor what it contains (spaces, commas) nor the
 * modes of its parents matter. The directory belongs to the worker: a monitor may use what is in it and make nothing.
 */
import { chmod, chown, type FileHandle, open, rename, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";

export interface MonitorUser {
  uid: number;
  gid: number;
}

export class MachineDirectory {
  private readonly handle: FileHandle;
  private readonly user: MonitorUser | null;
  private place: string;

  private constructor(handle: FileHandle, place: string, user: MonitorUser | null) {
    this.handle = handle;
    this.place = place;
    this.user = user;
  }

  static async open(path: string, user: MonitorUser | null): Promise<MachineDirectory> {
    // Others may pass, which needs names; only what is given to them can be opened.
    if (user) await chmod(path, 0o711);
    return new MachineDirectory(await open(path, "r"), path, user);
  }

  get path(): string {
    return this.place;
  }

  /** The monitor does not notice. Only within a file system. */
  async moveTo(path: string): Promise<void> {
    await rename(this.place, path);
    this.place = path;
  }

  /** Listens under this name; the monitor's user may connect. */
  listen(name: string, options: { untouched?: boolean } = {}): Promise<MachineSocket> {
    return MachineSocket.listen({ handle: this.handle, name, user: this.user, untouched: options.untouched ?? false });
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

interface ListenRequest {
  handle: FileHandle;
  name: string;
  user: MonitorUser | null;
  /** Nothing is read from connections: somebody else will. */
  untouched: boolean;
}

export class MachineSocket {
  private readonly server: Server;
  private readonly path: string;
  private arrived: Socket | undefined;
  private waiting: ((socket: Socket) => void) | undefined;

  private constructor(server: Server, path: string) {
    this.server = server;
    this.path = path;
    server.on("connection", (socket) => {
      // One monitor, one connection; whoever comes next replaces what nobody has taken.
      this.arrived?.destroy();
      this.arrived = undefined;
      if (this.waiting) this.waiting(socket);
      else this.arrived = socket;
      this.waiting = undefined;
    });
  }

  static async listen({ handle, name, user, untouched }: ListenRequest): Promise<MachineSocket> {
    const path = `/proc/self/fd/${handle.fd}/${name}`;
    await rm(path, { force: true });
    const server = createServer({ pauseOnConnect: untouched });
    const socket = new MachineSocket(server, path);
    server.listen(path);
    await once(server, "listening");
    await chmod(path, 0o600);
    if (user) await chown(path, user.uid, user.gid);
    return socket;
  }

  /** The next connection. Rejects when the signal says so. */
  accept(signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const arrived = this.arrived;
      this.arrived = undefined;
      if (arrived) return resolve(arrived);
      const give = (socket: Socket): void => {
        signal.removeEventListener("abort", refuse);
        resolve(socket);
      };
      const refuse = (): void => {
        if (this.waiting === give) this.waiting = undefined;
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", refuse, { once: true });
      this.waiting = give;
    });
  }

  /** Stops listening and removes the name; connections that were taken stay. */
  async close(): Promise<void> {
    this.arrived?.destroy();
    this.server.close();
    await rm(this.path, { force: true });
  }
}
