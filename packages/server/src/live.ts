/**
 * The live path to guests: which workers have their channel in this process, and what can be sent over it at once. A port like hints: operations push
 * through it after their commit, and lose nothing but time when the worker's channel is elsewhere or away, because everything durable is read from the
 * store again. Live calls (files, ports) need the channel: without it they are refused.
 */
import type { ChannelMessage, LiveRequest } from "@helmr/protocol/worker";
import type { LiveStream } from "./live-stream.ts";

export interface LiveLink {
  push(message: ChannelMessage): void;
  open(leaseId: string, request: LiveRequest): LiveStream;
}

export interface Live {
  /** The worker's channel, when this process has it. */
  link(workerId: string): LiveLink | undefined;
  /** Until the returned function is called; a later one of the same worker takes its place. */
  register(workerId: string, link: LiveLink): () => void;
}

export function openLive(): Live {
  const links = new Map<string, LiveLink>();
  return {
    link: (workerId) => links.get(workerId),
    register(workerId, link) {
      links.set(workerId, link);
      return () => {
        if (links.get(workerId) === link) links.delete(workerId);
      };
    },
  };
}
