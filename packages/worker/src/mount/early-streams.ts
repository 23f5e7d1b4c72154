/**
 * After a change of the worker's process the guest says again what was not acknowledged, before the control plane has said which execs these bytes belong
 * to. They are kept until somebody claims them; the guest's window bounds them.
 */
import type { GuestLink } from "../guest/guest-link.ts";
import type { StreamSink } from "../guest/incoming-streams.ts";

interface Early {
  start: number;
  parts: Uint8Array[];
  sink: StreamSink | undefined;
}

export class EarlyStreams {
  private readonly streams = new Map<number, Early>();
  private readonly link: GuestLink;

  constructor(link: GuestLink) {
    this.link = link;
  }

  /** From now on streams that nobody has registered are kept, if they are wanted. */
  keep(wanted: (id: number) => boolean): void {
    this.link.onUnknownStream((id) => {
      if (!wanted(id)) return undefined;
      const early: Early = { start: 0, parts: [], sink: undefined };
      this.streams.set(id, early);
      return {
        begins: (offset) => {
          early.start = offset;
        },
        data: (data) => (early.sink ? early.sink.data(data) : void early.parts.push(Uint8Array.from(data))),
        end: (length, error) => early.sink?.end(length, error),
      };
    });
  }

  /** Everything that has come goes to `sink`, and the rest later. */
  claim(id: number, sink: StreamSink): void {
    const early = this.streams.get(id);
    if (early === undefined) return this.link.resumeStream(id, sink);
    early.sink = sink;
    this.streams.delete(id);
    sink.begins?.(early.start);
    for (const part of early.parts) sink.data(part);
  }
}
