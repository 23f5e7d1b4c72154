/**
 * How much of the state directory's file system may still be used, looked at every so often: overlays and caches grow without asking. Below the
 * reserve nothing new is started, and the control plane is told that there is no disk.
 */
import { statfs } from "node:fs/promises";

const MiB = 1024 * 1024;
const lookMs = 5_000;

export class DiskRoom {
  private readonly directory: string;
  private readonly reserveMib: number;
  private readonly timer: NodeJS.Timeout;
  private freeMib = 0;

  private constructor(directory: string, reserveMib: number) {
    this.directory = directory;
    this.reserveMib = reserveMib;
    this.timer = setInterval(() => void this.look(), lookMs).unref();
  }

  static async watch(directory: string, reserveMib: number): Promise<DiskRoom> {
    const room = new DiskRoom(directory, reserveMib);
    await room.look();
    return room;
  }

  /** Above the reserve. */
  get usableMib(): number {
    return Math.max(0, this.freeMib - this.reserveMib);
  }

  async look(): Promise<void> {
    try {
      const { bavail, bsize } = await statfs(this.directory);
      this.freeMib = Math.floor((bavail * bsize) / MiB);
    } catch {
      // A file system that does not answer has no room.
      this.freeMib = 0;
    }
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
